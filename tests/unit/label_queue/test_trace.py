"""From a label to what it touched, and back, on a ledger made by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from label_queue.ledger.sql import SqlLedger
from label_queue.oversight.trace import LabelerPart, Trace, read_trace
from label_queue.quality_config import QualityConfig
from protocol.errors import InputError, MissingError
from tests.support.hand_made_ledger import fill, hand_made_view, label_ids
from tests.support.labels import (
    NODE,
    make_event,
    make_exclusion,
    make_provenance,
    make_query,
    make_reward,
)

CONFIG = QualityConfig()


@pytest.fixture
def trace() -> Trace:
    return Trace(hand_made_view(), CONFIG)


def test_a_label_reaches_rewards_and_policies(trace: Trace) -> None:
    early = trace.of_label("q6/bob")
    assert (early.labeler_id, early.query_id) == ("bob", "q6")
    assert [event.seq for event in early.revisions] == [7]
    assert early.candidate_versions == (1, 1, 1, 1)
    assert (early.reward_versions, early.policy_versions) == ((1, 2), (1, 2, 3))
    late = trace.of_event(10)
    assert (late.label_id, late.reward_versions, late.policy_versions) == ("q9/bob", (2,), (3,))
    newest = trace.of_event(11)
    assert (newest.reward_versions, newest.policy_versions) == ((), ())


def test_a_label_says_of_which_node_of_a_long_text_it_is() -> None:
    view = hand_made_view()
    asked = replace(view.queries["q6"], prompt_node=NODE)
    trace = Trace(replace(view, queries={**view.queries, "q6": asked}), CONFIG)
    assert trace.of_label("q6/bob").node == NODE
    assert trace.of_label("q9/bob").node is None


def test_a_policy_goes_back_to_labels_and_labelers(trace: Trace) -> None:
    second = trace.of_policy(2)
    assert second.policy.episodes == 20
    assert (second.line, second.reward_versions) == ((2, 1, 0), (1,))
    assert frozenset(second.label_ids) == label_ids(*range(1, 9))
    assert second.labelers == (
        LabelerPart(labeler_id="ann", num_labels=6),
        LabelerPart(labeler_id="bob", num_labels=2),
    )
    third = trace.of_policy(3)
    assert third.reward_versions == (1, 2)
    assert frozenset(third.label_ids) == label_ids(*range(1, 11))
    reference = trace.of_policy(0)
    assert (reference.line, reference.label_ids, reference.labelers) == ((0,), (), ())


def test_a_labelers_labels_are_traced_as_one(trace: Trace) -> None:
    bob = trace.of_labeler("bob")
    assert (bob.num_labels, bob.num_learned, bob.first_seq, bob.last_seq) == (3, 3, 7, 10)
    assert (bob.reward_versions, bob.policy_versions) == ((1, 2), (1, 2, 3))
    ann = trace.of_labeler("ann")
    assert (ann.num_labels, ann.num_learned) == (8, 7)


def test_a_refit_without_them_and_a_rollback_clean_what_comes_after() -> None:
    view = hand_made_view(
        make_exclusion("bob"),
        make_reward(3, ledger_seq=12),
        make_provenance(4, 3),
        make_provenance(5, 3, restored_from=0),
        make_provenance(6, 3),
    )
    trace = Trace(view, CONFIG)
    bob = trace.of_labeler("bob")
    assert bob.reward_versions == (1, 2)
    assert bob.policy_versions == (1, 2, 3, 4)
    newest = trace.of_policy(6)
    assert newest.line == (6, 5, 0)
    assert newest.reward_versions == (3,)
    assert newest.labelers == (LabelerPart(labeler_id="ann", num_labels=8),)


def test_a_revised_label_is_one_label() -> None:
    revised = make_event(make_query(6), "bob", revision=1, choice=2)
    trace = Trace(hand_made_view(revised, make_reward(3, ledger_seq=12)), CONFIG)
    label = trace.of_event(12)
    assert [event.revision for event in label.revisions] == [0, 1]
    assert label.reward_versions == (1, 2, 3)
    assert trace.of_labeler("bob").num_labels == 3


def test_what_is_not_there_is_named(trace: Trace) -> None:
    for ask, named in (
        (lambda: trace.of_label("q99/eve"), "label 'q99/eve'"),
        (lambda: trace.of_label(""), "label ''"),
        (lambda: trace.of_event(12), "seq 12: .* from 1 to 11"),
        (lambda: trace.of_labeler("eve"), "those who did: ann, bob"),
        (lambda: trace.of_policy(9), "policy version 9: .* newest: 3"),
    ):
        with pytest.raises(InputError, match=named):
            ask()


def test_an_owners_event_is_no_label() -> None:
    trace = Trace(hand_made_view(make_exclusion("bob")), CONFIG)
    with pytest.raises(InputError, match="seq 12"):
        trace.of_event(12)


def test_reads_the_ledger_of_a_run_that_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    with pytest.raises(MissingError):
        read_trace(path, CONFIG)
    writer = SqlLedger.open(path, "run-1")
    fill(writer)
    assert read_trace(path, CONFIG).of_policy(3).reward_versions == (1, 2)
    writer.close()
