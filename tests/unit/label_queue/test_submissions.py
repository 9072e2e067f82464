"""A label's answer is known again by its digest, also in a ledger written by an earlier version."""

from __future__ import annotations

from label_queue.labeling.submissions import LabelSubmission, Span, payload_sha256


def test_the_digest_of_an_answer_is_that_of_earlier_versions() -> None:
    answer = LabelSubmission(
        assignment_id="a-1",
        revision=2,
        outcome="choice",
        choice="c-é",
        strength=3,
        spans=(Span(candidate_id="c-é", start=0, end=4, mark="good"),),
        comment='"so" ☕\n',
        shown_at=1760000000.0,
        submitted_at=1760000001.25,
        active_ms=900,
    )
    digest = "12f4b547292210c8911c33b6627382005c937a938f8df94c9880f8e85393ee40"
    assert payload_sha256(answer) == digest
