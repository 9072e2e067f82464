"""What people said in Argilla: a response's values, by the names of our dataset's questions.

preference   label question     {"value": "b"}, a letter or "tie", "both_bad", "flag"
             ranking question   {"value": [{"value": "b", "rank": 1}, {"value": "a", "rank": 2}]}
strength     rating question    {"value": 3}, 1 … 4
comment      text question      {"value": "why"}
marks_a …    span questions     {"value": [{"label": "good", "start": 0, "end": 4}]}

Start and end are counted by Argilla's page, as a browser counts: in UTF-16 units.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, cast

from label_queue.connectors.port import Answer
from label_queue.connectors.rows import MALFORMED, whole
from protocol.errors import InvalidLabel
from protocol.labels import Outcome

PREFERENCE = "preference"
MARKS = "marks_"
VERDICTS: tuple[Outcome, ...] = ("tie", "both_bad", "skip", "flag")

Mark = tuple[str, int, int, Literal["good", "bad"]]


def read_values(values: Mapping[str, Mapping[str, Any]], *, is_discarded: bool) -> Answer:
    """Return the answer of a response; a discarded one is a skip.

    Raises InvalidLabel, naming the question, if it says nothing or what no question of ours asks.
    """
    if is_discarded:
        return Answer(outcome="skip")
    if PREFERENCE not in values:
        raise InvalidLabel(f"the question {PREFERENCE!r} was not answered", "values")
    strength: int | None = None
    comment: str | None = None
    spans: list[Mark] = []
    for question, wrapped in values.items():
        try:
            value = wrapped["value"]
            if question == "strength":
                strength = whole(value)
            elif question == "comment":
                comment = _text(value)
            elif question.startswith(MARKS):
                spans += [_mark(question.removeprefix(MARKS), span) for span in value]
        except MALFORMED as error:
            raise InvalidLabel("not an answer as documented", f"values.{question}") from error
    try:
        answer = _answer(values[PREFERENCE]["value"], strength, comment, tuple(spans))
    except InvalidLabel:
        raise
    except MALFORMED as error:
        raise InvalidLabel("not an answer as documented", f"values.{PREFERENCE}") from error
    return replace(answer, span_unit="utf-16") if spans else answer


def _answer(
    value: object, strength: int | None, comment: str | None, spans: tuple[Mark, ...]
) -> Answer:
    if isinstance(value, list):
        ranking = _ranking(value)
        if ranking is None:
            return Answer(outcome="tie", comment=comment, spans=spans)
        return Answer(outcome="ranking", ranking=ranking, comment=comment, spans=spans)
    for verdict in VERDICTS:
        if value == verdict:
            return Answer(outcome=verdict, comment=comment, spans=spans)
    return Answer(
        outcome="choice", choice=_text(value), strength=strength, comment=comment, spans=spans
    )


def _ranking(items: Sequence[Mapping[str, Any]]) -> tuple[str, ...] | None:
    """Return letters, best first; None where all share one rank."""
    ranks = [whole(item["rank"]) for item in items]
    if len(items) > 1 and len(set(ranks)) == 1:
        return None
    if len(set(ranks)) < len(ranks):
        raise InvalidLabel(
            "some share a rank and others do not: rank all apart, or all alike for a tie",
            f"values.{PREFERENCE}",
        )
    return tuple(
        _text(item["value"]) for item in sorted(items, key=lambda item: whole(item["rank"]))
    )


def _mark(letter: str, span: Mapping[str, Any]) -> Mark:
    label = span["label"]
    if label not in ("good", "bad"):
        raise ValueError(label)
    return letter, whole(span["start"]), whole(span["end"]), cast(Literal["good", "bad"], label)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value
