"""What is measured of last turns: how good they are, and how much they say as it was left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from actors.prompts.dialogues import SLOTS, Dialogue
from examples.tasks.drawing import Response
from examples.tasks.measures import KeptMeasures, preference
from label_queue.simulated.config import LabelerProfile
from label_queue.simulated.gold.dialogues import things
from label_queue.simulated.gold.registry import gold_of
from protocol.chat import in_one_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Measures(KeptMeasures):
    """Means over the answers of a system, one to each dialogue."""

    gold: float
    """Gold score."""
    win_gold: float
    """How often it has more gold than the dialogue's reference; a tie is half a win."""
    win_labelers: float
    """How often the run's simulated labelers would choose it over the reference, all equally."""
    right: float
    """The share of the three things agreed on that are told as they were left."""
    outdated: float
    """The share of all things that were changed which are told as they were at first."""
    whole: float
    """Answers that tell all three as they were left, and nothing else of them."""
    words: float
    finished: float
    """Answers that ended in time."""

    @classmethod
    def of(
        cls,
        dialogues: Sequence[Dialogue],
        answers: Sequence[Response],
        labelers: Sequence[LabelerProfile],
    ) -> Measures:
        """Measure the answers of a system.

        Args:
            dialogues: That were answered.
            answers: One to each, in their order.
            labelers: Whose choices count.
        """
        pairs = [(each, answer.text) for each, answer in zip(dialogues, answers, strict=True)]
        rows = [_of_one(each, answer, labelers) for each, answer in pairs]
        means = {name: fmean(row[name] for row in rows) for name in rows[0]}
        changed = [is_told for each, answer in pairs for is_told in _outdated(each, answer)]
        return cls(
            **means,
            outdated=fmean(changed) if changed else 0.0,
            finished=fmean(answer.is_complete for answer in answers),
        )


def _of_one(each: Dialogue, answer: str, labelers: Sequence[LabelerProfile]) -> dict[str, float]:
    gold, prompt = gold_of("dialogues"), in_one_text("", each.turns)
    value, beside = gold.score(prompt, answer), gold.score(prompt, each.reference)
    told = [(said.slot, said.word) for said in things(answer)]
    right = set(told) & set(each.booking.items())
    return {
        "gold": value,
        "win_gold": 0.5 if value == beside else float(value > beside),
        "win_labelers": fmean(preference(value, beside, labeler) for labeler in labelers),
        "right": len(right) / len(SLOTS),
        "whole": float(right == set(told) and len(right) == len(SLOTS)),
        "words": len(answer.split()),
    }


def _outdated(each: Dialogue, answer: str) -> list[bool]:
    """Return of each thing that was changed whether it is told as it was at first."""
    told = {(said.slot, said.word) for said in things(answer)}
    return [each_one in told for each_one in each.outdated.items()]
