"""Everybody's standing: a fold over label events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import deepcopy
from itertools import islice
from typing import assert_never

from label_queue.kept import kept
from label_queue.quality.asked_gold import AskedGold
from label_queue.quality.case import Case
from label_queue.quality.doubt import NUM_NEWEST
from label_queue.quality.gold import is_right
from label_queue.quality.gold_difficulty import GoldDifficulty
from label_queue.quality.gold_tasks import gold_id
from label_queue.quality.purposes import purpose_of
from label_queue.quality.standing import NEWCOMER, Standing
from label_queue.quality_config import QualityConfig
from protocol.labels import (
    ActUndone,
    Appointed,
    ComparisonQuery,
    Excluded,
    GoldEvent,
    LabelChange,
    LabelerEvent,
    LabelEvent,
    OwnerEvent,
    Reinstated,
    Retracted,
    Revised,
    Submitted,
)


@kept("_cases", "_standings", "_num_submits", "gold", "_difficulty")
class Standings:
    """Everybody's standing, kept up to date event by event.

    Whether somebody starts on probation depends on whether gold was there when their first label
    came, as the ledger has it (`AskedGold`), so that a gold task made later changes nothing about
    labels before it.
    """

    def __init__(self, queries: Mapping[str, ComparisonQuery], config: QualityConfig) -> None:
        """Take the queries by id; those added to the mapping later are seen."""
        self._queries = queries
        self._config = config
        self._cases: dict[str, Case] = {}
        self._standings: dict[str, Standing] = {}
        self._num_submits = 0
        self.gold = AskedGold(queries)
        """Which gold is asked, and judges."""
        self._difficulty = GoldDifficulty()

    def __getitem__(self, labeler_id: str) -> Standing:
        """Return a labeler's standing, also of one who has given no label yet."""
        known = self._standings.get(labeler_id)
        if known is not None:
            return known
        return Standing(state="probation", held_from=0) if self._has_gold else NEWCOMER

    def knows(self, labeler_id: str) -> bool:
        """Say whether any event named somebody."""
        return labeler_id in self._standings

    def newest_gold(self, labeler_id: str) -> list[tuple[int, bool]]:
        """Return somebody's newest gold answers of the tests that go on, newest first.

        Of each the sequence number when first given, and whether it is right.
        """
        known = self._cases.get(labeler_id)
        newest = [] if known is None else islice(reversed(known.answers.values()), NUM_NEWEST)
        return [(answer.seq, answer.is_right) for answer in newest]

    def has_labelled(self, labeler_id: str) -> bool:
        """Say whether somebody ever gave a label, also one that was taken back."""
        known = self._cases.get(labeler_id)
        return known is not None and known.num_submits > 0

    def was_undone(self, labeler_id: str, act_id: str) -> bool:
        """Say whether an act was the last of the owner's about somebody that was undone."""
        known = self._cases.get(labeler_id)
        return known is not None and known.undone == act_id

    def items(self) -> list[tuple[str, Standing]]:
        """Return everybody the ledger knows something of, sorted by name."""
        return sorted(self._standings.items())

    def exclusions(self) -> dict[str, int]:
        """Return who is left out, each with the `seq` from which on, sorted by labeler."""
        limits = ((name, each.excluded_from) for name, each in self.items())
        return {name: since for name, since in limits if since is not None}

    def judges(self) -> frozenset[str]:
        """Return who judges, those who are excluded among them."""
        return frozenset(name for name, each in self._standings.items() if each.is_judge)

    def gold_answers(self) -> dict[str, tuple[int, int]]:
        """Return how many gold tasks everybody answered rightly and wrongly."""
        return {name: (each.gold_right, each.gold_wrong) for name, each in self.items()}

    def apply(self, event: LabelEvent) -> None:
        """Take the next event that took effect."""
        if isinstance(event, GoldEvent):
            self.gold.apply(event)
            return
        own = self._cases.get(event.labeler_id)
        if own is None:
            own = Case(is_vouched=not self._has_gold)
            self._cases[event.labeler_id] = own
        self._num_submits += isinstance(event, Submitted)
        is_new = event.labeler_id not in self._standings
        own.num_submits += isinstance(event, Submitted)
        if not is_new and not self._changes(event, own):
            return
        match event:
            case Excluded() | Reinstated() | ActUndone():
                self._act(event, own)
            case Appointed():
                own.is_judge |= own.num_submits == 0
            case Submitted() | Revised() | Retracted():
                if self._tests(event, own):
                    self._test(event, own)
            case _:
                assert_never(event)
        self._standings[event.labeler_id] = own.standing()

    def after(self, change: OwnerEvent) -> Standing:
        """Return the standing that an act which is not written yet would give somebody."""
        own = deepcopy(self._cases.get(change.labeler_id) or Case(is_vouched=not self._has_gold))
        self._act(change, own)
        return own.standing()

    def _act(self, act: OwnerEvent, own: Case) -> None:
        match act:
            case Excluded():
                own.exclude(act)
            case Reinstated():
                own.reinstate(act)
            case ActUndone():
                own.undo(act, self._config, self._share_of(own))
            case _:
                assert_never(act)

    def _test(self, event: LabelChange, own: Case) -> None:
        """Let a gold answer, its revision or its end test whoever gave it."""
        query = self._queries[event.query_id]
        right = None if isinstance(event, Retracted) else is_right(query, event)
        k, template = len(query.candidates), gold_id(query)
        says_how_hard = isinstance(event, Submitted) and own.is_in_good_standing
        own.answer(
            event,
            right,
            self._config,
            k=k,
            usual=self._difficulty.usual(template, k, self._config),
            share=self._share_of(own),
        )
        if says_how_hard and right is not None:
            self._difficulty.take(template, is_right=right)

    def _share_of(self, own: Case) -> float:
        """Return the share of all labels so far that one labeler gave."""
        return own.num_submits / max(1, self._num_submits)

    def _changes(self, event: LabelerEvent, own: Case) -> bool:
        """Say whether an event of a known labeler can change their standing."""
        if not isinstance(event, LabelChange):
            return True
        return self._tests(event, own)

    def _tests(self, event: LabelChange, own: Case) -> bool:
        """Say whether a label tests its labeler; no query is read that is no gold."""
        if own.is_judge or purpose_of(self._queries, event.query_id) != "gold":
            return False
        return self.gold.judges(self._queries[event.query_id])

    @property
    def _has_gold(self) -> bool:
        """Whether gold is there before the next label."""
        return self.gold.is_there(self._num_submits)


def standings(
    queries: Mapping[str, ComparisonQuery], events: Iterable[LabelEvent], config: QualityConfig
) -> Standings:
    """Fold events, in order, to everybody's standing: a pure function of the ledger's prefix."""
    folded = Standings(queries, config)
    for event in events:
        folded.apply(event)
    return folded
