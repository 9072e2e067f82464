"""Standings: what moves a labeler from state to state."""

from __future__ import annotations

from dataclasses import replace

import pytest

from label_queue.quality.standings import Standings, standings
from label_queue.quality_config import DEFAULT_QUALITY
from protocol.labels import ComparisonQuery, LabelEvent
from tests.support.labels import (
    make_event,
    make_exclusion,
    make_query,
    make_reinstatement,
    make_retraction,
    make_undoing,
)

RIGHT, WRONG = 0, 1


def gold_query(number: int, labels_before: int = 0) -> ComparisonQuery:
    """A gold pair, whose first is right."""
    return make_query(
        number,
        versions=(1, 1),
        purpose="gold",
        gold_answer=f"q{number}-a",
        labels_before=labels_before,
    )


class Ledger:
    """Events as they come, numbered; gold queries count from 100."""

    def __init__(self, labels_before: int | None = 0) -> None:
        self.queries = {f"q{n}": make_query(n) for n in (*range(100), *range(1_000, 2_000))}
        if labels_before is not None:
            self.queries |= {f"q{n}": gold_query(n, labels_before) for n in range(100, 200)}
        self.events: list[LabelEvent] = []
        self._next_gold, self._next_train, self._next_of_others = 100, 0, 1_000

    def add(self, event: LabelEvent) -> LabelEvent:
        event = replace(event, seq=len(self.events) + 1)
        self.events.append(event)
        return event

    def gold(self, *choices: int, labeler: str = "ann") -> None:
        for choice in choices:
            self.add(make_event(self.queries[f"q{self._next_gold}"], labeler, choice=choice))
            self._next_gold += 1

    def train(self, labeler: str = "ann") -> LabelEvent:
        self._next_train += 1
        return self.add(make_event(self.queries[f"q{self._next_train - 1}"], labeler))

    def others(self, count: int) -> None:
        """Let others label so much."""
        for _ in range(count):
            self.add(make_event(self.queries[f"q{self._next_of_others}"], "bob"))
            self._next_of_others += 1

    def owner(self, *, reinstate: bool = False, from_seq: int | None = None) -> None:
        number = len(self.events)
        if reinstate:
            self.add(make_reinstatement("ann", number=number))
        else:
            self.add(make_exclusion("ann", number=number, from_seq=from_seq))

    def undo(self, act: str = "") -> None:
        """Undo an act of the owner's about ann: the newest that can be."""
        undoes = act or self.standings["ann"].undoable or "none"
        self.add(make_undoing("ann", number=len(self.events), undoes=undoes))

    @property
    def standings(self) -> Standings:
        return standings(self.queries, self.events, DEFAULT_QUALITY)

    @property
    def state(self) -> str:
        return self.standings["ann"].state


def test_without_gold_everybody_is_active_at_once() -> None:
    ledger = Ledger(labels_before=None)
    assert ledger.state == "active"
    ledger.train()
    assert ledger.state == "active"


def test_with_gold_a_newcomer_is_on_probation_until_eight_right() -> None:
    # 8 · −0.405 = −3.24 ≤ −2.99 < 7 · −0.405
    ledger = Ledger()
    assert ledger.state == "probation"
    ledger.train()
    ledger.gold(*[RIGHT] * 7)
    assert ledger.state == "probation"
    assert ledger.standings["ann"].is_held
    ledger.gold(RIGHT)
    assert ledger.state == "active"
    assert ledger.standings["ann"].trains(1)


def test_four_wrong_suspend_and_no_later_answer_lifts_it() -> None:
    # 4 · 1.386 = 5.5 ≥ 4.55 > 3 · 1.386
    ledger = Ledger()
    ledger.gold(WRONG, WRONG, WRONG)
    assert ledger.state == "probation"
    ledger.gold(WRONG)
    assert ledger.state == "suspended"
    assert ledger.standings["ann"].alarm == "gold"
    ledger.gold(*[RIGHT] * 20)
    standing = ledger.standings["ann"]
    assert (standing.state, standing.gold_right, standing.gold_wrong) == ("suspended", 20, 4)
    assert not standing.gets_tasks


def test_after_the_test_seven_wrong_in_a_row_are_drift() -> None:
    ledger = Ledger()
    ledger.others(200)
    ledger.gold(*[RIGHT] * 30, *[WRONG] * 6)
    assert ledger.state == "active"
    ledger.gold(WRONG)
    assert ledger.standings["ann"].alarm == "drift"
    assert ledger.state == "suspended"


def drifted(num_of_others: int) -> Ledger:
    """Ann gives 21 labels, 14 is the first since her drift began."""
    ledger = Ledger()
    ledger.gold(*[RIGHT] * 8)
    ledger.gold(WRONG, *[RIGHT] * 4)  # 1.386 − 4 · 0.405 < 0: back at 0 with the 13th
    assert ledger.train().seq == 14
    ledger.others(num_of_others)
    ledger.gold(*[WRONG] * 7)
    return ledger


def test_drift_holds_the_labels_since_it_began() -> None:
    ledger = drifted(85)
    standing = ledger.standings["ann"]
    assert (standing.state, standing.held_from) == ("suspended", 14)
    assert not standing.gets_tasks
    assert standing.trains(12)
    assert not standing.trains(14)
    assert not standing.trains(ledger.train().seq)


def test_of_whom_a_fifth_of_all_labels_comes_the_owner_is_asked() -> None:
    ledger = drifted(84)  # 21 of 105
    standing = ledger.standings["ann"]
    assert (standing.state, standing.alarm, standing.held_from) == ("questioned", "drift", 14)
    assert standing.gets_tasks
    assert standing.is_held
    assert not standing.may_revise
    assert standing.trains(12)
    assert not standing.trains(ledger.train().seq)
    ledger.others(500)
    ledger.gold(*[WRONG] * 3)
    assert ledger.state == "questioned"  # what was asked stays asked
    ledger.owner(reinstate=True)
    assert ledger.standings["ann"].trains(14)


def test_the_first_test_suspends_whoever_it_is() -> None:
    ledger = Ledger()
    ledger.gold(*[WRONG] * 4)
    assert ledger.state == "suspended"


def test_an_undone_exclusion_leaves_them_as_they_were() -> None:
    ledger = Ledger()
    ledger.train()
    ledger.owner()
    ledger.undo()
    standing = ledger.standings["ann"]
    assert (standing.state, standing.excluded_from, standing.trains(1)) == (
        "probation",
        None,
        False,
    )
    ledger.gold(*[WRONG] * 4)
    ledger.owner(from_seq=3)
    ledger.undo()
    standing = ledger.standings["ann"]
    assert (standing.state, standing.alarm, standing.held_from) == ("suspended", "gold", 0)


def test_an_undone_exclusion_leaves_the_one_before_it() -> None:
    ledger = Ledger(labels_before=None)
    ledger.owner(from_seq=5)
    ledger.owner(from_seq=2)
    ledger.undo()
    assert ledger.standings["ann"].excluded_from == 5
    assert ledger.standings["ann"].undoable is None


def test_an_undone_reinstatement_puts_the_alarm_back() -> None:
    ledger = drifted(500)
    before = ledger.standings["ann"]
    ledger.owner(reinstate=True)
    ledger.gold(RIGHT, WRONG)
    first = ledger.queries["q100"]
    ledger.add(make_event(first, revision=1, choice=WRONG))
    ledger.undo()
    standing = ledger.standings["ann"]
    assert (standing.state, standing.alarm, standing.held_from) == ("suspended", "drift", 14)
    assert (before.gold_right, before.gold_wrong) == (12, 8)
    assert (standing.gold_right, standing.gold_wrong) == (12, 10)


def test_somebody_vouched_for_by_mistake_is_tested_by_all_they_answered() -> None:
    ledger = Ledger()
    ledger.gold(WRONG, WRONG)
    ledger.owner(reinstate=True)
    ledger.gold(WRONG)
    assert ledger.state == "active"
    ledger.undo()
    assert ledger.state == "probation"
    ledger.gold(WRONG)
    assert ledger.state == "suspended"


def test_an_alarm_that_an_undoing_leaves_asks_the_owner_as_before() -> None:
    ledger = Ledger()
    ledger.gold(RIGHT)
    ledger.owner(reinstate=True)
    ledger.gold(*[RIGHT] * 8, *[WRONG] * 7)
    ledger.undo()
    assert (ledger.state, ledger.standings["ann"].alarm) == ("questioned", "drift")


def test_only_the_newest_act_is_undone_and_once() -> None:
    ledger = Ledger(labels_before=None)
    ledger.owner(from_seq=5)
    first = ledger.events[-1].event_id
    ledger.owner(reinstate=True)
    ledger.undo(first)
    assert ledger.state == "active"
    ledger.undo()
    assert ledger.state == "excluded"
    ledger.undo()
    assert ledger.state == "excluded"


def test_what_an_act_would_do_is_what_it_does() -> None:
    ledger = drifted(500)
    for change in (
        make_exclusion("ann", number=900, from_seq=3),
        make_undoing("ann", number=901, undoes="owner:900"),
        make_reinstatement("ann", number=902),
        make_undoing("ann", number=903, undoes="owner:902"),
    ):
        expected = ledger.standings.after(change)
        ledger.add(change)
        assert ledger.standings["ann"] == expected
    newcomer = make_exclusion("zoe", number=904)
    assert ledger.standings.after(newcomer).state == "excluded"


def test_gold_that_good_labelers_miss_weighs_less() -> None:
    ledger = Ledger()
    hard = ledger.queries["q100"]
    for name in ("ben", "cid", "dan", "eve", "fay"):
        ledger.gold(*[RIGHT] * 8, labeler=name)
        ledger.add(make_event(hard, name, choice=WRONG))
    # Of it (10 · R + 0)/15 is right, of all R = (9 + 40)/(10 + 45), so that its lead over chance is
    # 0.24 of theirs, and good labelers are held to have half of it at least.
    ledger.gold(*[RIGHT] * 8)
    ledger.add(make_event(hard, choice=WRONG))
    assert ledger.standings["ann"].gold_against == pytest.approx(0.405465, abs=1e-5)
    ledger.gold(WRONG)
    assert ledger.standings["ann"].gold_against == pytest.approx(0.405465 + 1.386294, abs=1e-5)


def test_those_on_probation_say_nothing_of_how_hard_gold_is() -> None:
    ledger = Ledger()
    hard = ledger.queries["q199"]
    for number in range(20):
        ledger.add(make_event(hard, f"new-{number}", choice=WRONG))
    ledger.add(make_event(hard, choice=WRONG))
    assert ledger.standings["ann"].gold_against == pytest.approx(1.386294, abs=1e-5)


def test_the_gold_test_holds_all_labels() -> None:
    ledger = Ledger()
    first = ledger.train()
    ledger.gold(*[WRONG] * 4)
    assert not ledger.standings["ann"].trains(first.seq)


def test_a_reinstated_labeler_starts_the_tests_anew() -> None:
    ledger = Ledger()
    ledger.gold(*[WRONG] * 4)
    ledger.owner(reinstate=True)
    standing = ledger.standings["ann"]
    assert (standing.state, standing.alarm, standing.gold_wrong) == ("active", None, 4)
    ledger.gold(*[WRONG] * 3)
    assert ledger.state == "active"
    ledger.gold(WRONG)
    assert ledger.state == "suspended"


def test_the_owner_may_take_somebody_off_probation() -> None:
    ledger = Ledger()
    ledger.train()
    ledger.owner(reinstate=True)
    assert ledger.state == "active"


def test_an_exclusion_leaves_out_labels_from_its_number_on() -> None:
    ledger = Ledger(labels_before=None)
    ledger.train()
    ledger.owner(from_seq=5)
    standing = ledger.standings["ann"]
    assert (standing.state, standing.trains(4), standing.trains(5)) == ("excluded", True, False)
    ledger.owner(reinstate=True)
    assert ledger.standings["ann"].trains(5)


def test_an_exclusion_only_takes_away() -> None:
    ledger = Ledger()
    ledger.gold(*[WRONG] * 4)
    ledger.owner(from_seq=3)
    assert ledger.state == "excluded"
    assert not ledger.standings["ann"].trains(1)
    ledger.owner(reinstate=True)
    assert ledger.standings["ann"].trains(1)
    ledger.owner(from_seq=3)
    assert [ledger.standings["ann"].trains(seq) for seq in (1, 2, 3)] == [True, True, False]


def test_what_was_never_cleared_is_held_behind_an_exclusion_too() -> None:
    ledger = Ledger()
    ledger.train("ann")
    assert ledger.state == "probation"
    ledger.owner(from_seq=8)
    assert not ledger.standings["ann"].trains(1)


def test_gold_made_later_changes_nothing_for_those_who_began_before() -> None:
    ledger = Ledger(labels_before=2)
    ledger.train("ann")
    ledger.train("bob")
    ledger.train("cid")
    found = ledger.standings
    assert [found[name].state for name in ("ann", "bob", "cid", "dan")] == [
        "active",
        "active",
        "probation",
        "probation",
    ]
    # The test watches them all the same.
    ledger.gold(*[WRONG] * 4)
    assert ledger.state == "suspended"


def test_a_revised_gold_answer_counts_as_it_stands() -> None:
    ledger = Ledger()
    ledger.gold(WRONG, WRONG, WRONG)
    first = ledger.queries["q100"]
    ledger.add(make_event(first, revision=1, choice=RIGHT))
    standing = ledger.standings["ann"]
    assert (standing.gold_right, standing.gold_wrong) == (1, 2)
    ledger.gold(WRONG)  # 3 · 1.386 − 0.405 = 3.75
    assert ledger.state == "probation"
    ledger.add(make_retraction(first, revision=2))
    assert ledger.standings["ann"].gold_right == 0


def test_what_is_revised_after_a_reinstatement_is_counted_once_and_tests_nobody() -> None:
    ledger = Ledger()
    ledger.gold(*[WRONG] * 4)
    assert ledger.state == "suspended"
    ledger.owner(reinstate=True)
    for number in range(100, 103):
        ledger.add(make_event(ledger.queries[f"q{number}"], revision=1, choice=RIGHT))
    standing = ledger.standings["ann"]
    assert (standing.state, standing.gold_right, standing.gold_wrong) == ("active", 3, 1)
    ledger.add(make_retraction(ledger.queries["q103"], revision=1))
    assert ledger.standings["ann"].gold_wrong == 0
    ledger.gold(*[WRONG] * 4)
    assert ledger.state == "suspended"


@pytest.mark.parametrize("length", range(0, 30, 5))
def test_one_by_one_or_at_once(length: int) -> None:
    ledger = Ledger()
    ledger.gold(*[RIGHT, RIGHT, WRONG] * 4, WRONG, WRONG, labeler="bob")
    ledger.train()
    ledger.gold(*[RIGHT] * 9)
    ledger.owner()
    ledger.owner(reinstate=True)
    folded = Standings(ledger.queries, DEFAULT_QUALITY)
    for event in ledger.events[:length]:
        folded.apply(event)
    past = ledger.events[:length]
    assert folded.items() == standings(ledger.queries, past, DEFAULT_QUALITY).items()
