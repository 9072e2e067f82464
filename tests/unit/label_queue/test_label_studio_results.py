"""What an annotation of Label Studio's says, by its tags."""

from __future__ import annotations

from typing import Any

import pytest

from label_queue.connectors.label_studio_results import read_results
from label_queue.connectors.port import Answer
from protocol.errors import InvalidLabel
from tests.support.recorded_label_studio import (
    pairwise,
    pick,
    rank,
)

RATING = {"type": "rating", "value": {"rating": 3}}
COMMENT = {"type": "textarea", "value": {"text": ["because", "so"]}}
SPAN: dict[str, Any] = {
    "type": "labels",
    "to_name": "b",
    "value": {"start": 1, "end": 4, "labels": ["bad"]},
}


@pytest.mark.parametrize(
    ("items", "answer"),
    [
        (pairwise("left"), Answer(outcome="choice", choice="a")),
        (pairwise("right"), Answer(outcome="choice", choice="b")),
        (pick("d"), Answer(outcome="choice", choice="d")),
        (pick("tie"), Answer(outcome="tie")),
        (pick("both_bad"), Answer(outcome="both_bad")),
        (rank("b", "a"), Answer(outcome="ranking", ranking=("b", "a"))),
        (
            [*pick("a"), RATING, COMMENT, SPAN],
            Answer(
                outcome="choice",
                choice="a",
                strength=3,
                comment="because\nso",
                spans=(("b", 1, 4, "bad"),),
            ),
        ),
        ([*pick("tie"), RATING], Answer(outcome="tie")),
        (
            [
                {"type": "choices", "value": {"choices": "a"}},
                {"type": "textarea", "value": {"text": "because"}},
            ],
            Answer(outcome="choice", choice="a", comment="because"),
        ),
        ([{"type": "choices", "value": {"choices": "tie"}}], Answer(outcome="tie")),
    ],
)
def test_results_are_read_by_their_tags(items: list[dict[str, Any]], answer: Answer) -> None:
    assert read_results(items, was_cancelled=False) == answer


def test_a_cancelled_annotation_is_a_skip() -> None:
    assert read_results(pick("a"), was_cancelled=True) == Answer(outcome="skip")


@pytest.mark.parametrize(
    ("items", "field"),
    [
        ([], "result"),
        ([*pick("a"), *pick("b")], "result"),
        ([*pairwise("left"), *pick("tie")], "result"),
        ([{"type": "brush", "value": {}}], "result.0.type"),
        ([{"value": {}}], "result.0.type"),
        (pairwise("both"), "result.0.value"),
        ([{"type": "choices", "value": {"choices": [3]}}], "result.0.value"),
        ([{"type": "ranker", "value": {"ranker": {}}}], "result.0.value"),
        ([{"type": "labels", "to_name": "a", "value": {"labels": ["ugly"]}}], "result.0.value"),
        ([{"type": "rating"}], "result.0.value"),
        ([{"type": "rating", "value": {"rating": 2.5}}, *pick("a")], "result.0.value"),
        ([{**SPAN, "value": {**SPAN["value"], "end": 3.5}}, *pick("a")], "result.0.value"),
    ],
)
def test_results_that_say_nothing_name_the_item(items: list[dict[str, Any]], field: str) -> None:
    with pytest.raises(InvalidLabel) as refused:
        read_results(items, was_cancelled=False)
    assert refused.value.field == field
