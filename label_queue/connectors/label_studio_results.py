"""What people said in Label Studio: its result items, by the tags of our labeling configuration.

{"type": "pairwise", "value": {"selected": "left"}}            left is "a", right is "b"
{"type": "choices",  "value": {"choices": ["c"]}}              a letter, or an outcome
{"type": "ranker",   "value": {"ranker": {"order": ["b", "a"]}}}
{"type": "rating",   "value": {"rating": 3}}                   strength, 1 … 4
{"type": "textarea", "value": {"text": ["why"]}}               comment
{"type": "labels",   "to_name": "a", "value": {"start": 0, "end": 4, "labels": ["good"]}}
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from label_queue.connectors.port import Answer
from label_queue.connectors.rows import MALFORMED, whole
from protocol.errors import InvalidLabel
from protocol.labels import Outcome

SIDES = {"left": "a", "right": "b"}
VERDICTS: tuple[Outcome, ...] = ("tie", "both_bad", "skip", "flag")
MARKS = ("good", "bad")


@dataclass(slots=True)
class _Said:
    """The answer so far."""

    verdicts: list[Outcome] = field(default_factory=list)
    choices: list[str] = field(default_factory=list)
    rankings: list[tuple[str, ...]] = field(default_factory=list)
    strength: int | None = None
    comments: list[str] = field(default_factory=list)
    spans: list[tuple[str, int, int, Literal["good", "bad"]]] = field(default_factory=list)


def read_results(items: Sequence[Mapping[str, Any]], *, was_cancelled: bool) -> Answer:
    """Return the answer of an annotation; a cancelled one is a skip.

    Raises InvalidLabel, naming the item, if it says nothing, two things, or what no tag of ours
    can say.
    """
    if was_cancelled:
        return Answer(outcome="skip")
    said = _Said()
    for i, item in enumerate(items):
        kind = item.get("type")
        reader = READERS.get(kind) if isinstance(kind, str) else None
        if reader is None:
            raise InvalidLabel(
                f"{kind!r} is no tag of ours: use the labeling configuration of the docs",
                f"result.{i}.type",
            )
        try:
            reader(item, said)
        except MALFORMED as error:
            raise InvalidLabel(f"not a {kind} result as documented", f"result.{i}.value") from error
    return _answer(said)


def _answer(said: _Said) -> Answer:
    found = len(said.verdicts) + len(said.choices) + len(said.rankings)
    if found != 1:
        raise InvalidLabel(
            "nothing was chosen" if found == 0 else "says more than one thing: keep one", "result"
        )
    outcome: Outcome = "ranking" if said.rankings else "choice"
    return Answer(
        outcome=said.verdicts[0] if said.verdicts else outcome,
        choice=said.choices[0] if said.choices else None,
        ranking=said.rankings[0] if said.rankings else None,
        # A strength says how much better the choice is; beside anything else it says nothing.
        strength=said.strength if said.choices else None,
        spans=tuple(said.spans),
        comment="\n".join(said.comments) or None,
    )


def _pairwise(item: Mapping[str, Any], said: _Said) -> None:
    said.choices.append(SIDES[item["value"]["selected"]])


def _choices(item: Mapping[str, Any], said: _Said) -> None:
    for value in _texts(item["value"]["choices"]):
        verdict = next((each for each in VERDICTS if value == each), None)
        if verdict is not None:
            said.verdicts.append(verdict)
        else:
            said.choices.append(value)


def _ranker(item: Mapping[str, Any], said: _Said) -> None:
    [order] = item["value"]["ranker"].values()
    said.rankings.append(tuple(_text(letter) for letter in order))


def _rating(item: Mapping[str, Any], said: _Said) -> None:
    said.strength = whole(item["value"]["rating"])


def _textarea(item: Mapping[str, Any], said: _Said) -> None:
    said.comments += _texts(item["value"]["text"])


def _labels(item: Mapping[str, Any], said: _Said) -> None:
    value = item["value"]
    [mark] = value["labels"]
    if mark not in MARKS:
        raise ValueError(mark)
    start, end = whole(value["start"]), whole(value["end"])
    said.spans.append((_text(item["to_name"]), start, end, cast(Literal["good", "bad"], mark)))


def _texts(value: Any) -> list[str]:
    """Return what a list holds; who writes by the API may give one text without a list."""
    return [value] if isinstance(value, str) else [_text(each) for each in value]


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value


READERS: Mapping[str, Callable[[Mapping[str, Any], _Said], None]] = {
    "pairwise": _pairwise,
    "choices": _choices,
    "ranker": _ranker,
    "rating": _rating,
    "textarea": _textarea,
    "labels": _labels,
}
