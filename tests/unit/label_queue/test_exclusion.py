"""What taking labels back changes, on a ledger made by hand."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Literal, NoReturn

import pytest

from label_queue.folds.shift import FORCING_SHARE, Shift, contaminated_from, find_shift
from label_queue.folds.view import LearnedLabels, LedgerView
from label_queue.oversight.exclusion import ExclusionPreview, OwnerEvents, preview
from label_queue.quality.standings import standings
from label_queue.quality_config import QualityConfig
from protocol.labels import LabelEvent, OwnerEvent
from tests.support.hand_made_ledger import hand_made_view
from tests.support.labels import (
    make_event,
    make_provenance,
    make_query,
    make_retraction,
    make_reward,
)

CONFIG = QualityConfig()


@pytest.fixture
def learned() -> LearnedLabels:
    return LearnedLabels(CONFIG)


def change(
    kind: Literal["exclude", "reinstate"],
    labeler_id: str = "bob",
    *,
    number: int = 0,
    from_seq: int = 0,
) -> OwnerEvent:
    events = OwnerEvents(new_id=lambda: f"owner:{number}", clock=lambda: 2_000.0)
    if kind == "reinstate":
        return events.reinstate(labeler_id, "at random")
    return events.exclude(labeler_id, from_seq, "at random")


def previewed(view: LedgerView, learned: LearnedLabels, change: OwnerEvent) -> ExclusionPreview:
    standing = standings(view.queries, view.events, CONFIG).after(change)
    return preview(view, learned, change, standing)


def weighted(view: LedgerView, **weights: float) -> LedgerView:
    *before, live = view.rewards
    return replace(view, rewards=(*before, replace(live, labeler_weights=tuple(weights.items()))))


def test_nothing_moved_while_labels_only_come(learned: LearnedLabels) -> None:
    assert find_shift(hand_made_view(), learned) == Shift()


def test_an_exclusion_takes_out_what_was_learned(learned: LearnedLabels) -> None:
    shift = find_shift(hand_made_view(change("exclude")), learned)
    # Reward 2 learned seq 1 to 10; three of them are bob's.
    assert shift == Shift(left=frozenset({7, 8, 10}), weight_share=0.3)
    assert shift.forces_refit


def test_an_exclusion_from_a_seq_on_takes_out_what_came_later(learned: LearnedLabels) -> None:
    shift = find_shift(hand_made_view(change("exclude", from_seq=10)), learned)
    assert shift == Shift(left=frozenset({10}), weight_share=0.1)


def test_the_share_is_that_of_the_live_fits_weights(learned: LearnedLabels) -> None:
    view = weighted(hand_made_view(change("exclude")), ann=1.0, bob=0.02)
    shift = find_shift(view, learned)
    assert shift.weight_share == pytest.approx(0.06 / 7.06)
    assert shift.weight_share < FORCING_SHARE
    assert not shift.forces_refit


def test_small_exclusions_add_up(learned: LearnedLabels) -> None:
    view = hand_made_view(change("exclude"), change("exclude", "ann", number=1, from_seq=6))
    shift = find_shift(weighted(view, ann=1.0, bob=0.04), learned)
    assert shift.left == frozenset({6, 7, 8, 9, 10})
    assert shift.weight_share == pytest.approx(2.12 / 7.12)


def test_labels_not_learned_yet_force_nothing(learned: LearnedLabels) -> None:
    shift = find_shift(hand_made_view(change("exclude", "ann", from_seq=11)), learned)
    assert shift == Shift()


def test_retracting_or_thinking_better_is_no_exclusion(learned: LearnedLabels) -> None:
    retracted = make_retraction(make_query(6), "bob", revision=1)
    skipped = make_event(make_query(7), "bob", revision=1, outcome="skip")
    revised = make_event(make_query(9), "bob", revision=1, choice=2)
    assert find_shift(hand_made_view(retracted, skipped, revised), learned) == Shift()


def test_a_refit_without_them_settles_it_and_a_reinstatement_opens_it_again(
    learned: LearnedLabels,
) -> None:
    refitted = (change("exclude"), make_reward(3, ledger_seq=12))
    assert find_shift(hand_made_view(*refitted), learned) == Shift()
    back = hand_made_view(*refitted, change("reinstate", number=1))
    # Reward 3 learned ann's eight; bob's three come back to them.
    shift = find_shift(back, learned)
    assert shift == Shift(returned=frozenset({7, 8, 10}), weight_share=3 / 11)
    assert shift.forces_refit


def test_an_exclusion_undone_before_any_fit_forces_nothing(learned: LearnedLabels) -> None:
    view = hand_made_view(change("exclude"), change("reinstate", number=1))
    assert find_shift(view, learned) == Shift()


def test_an_exclusion_from_later_on_than_before_brings_back_what_lies_between(
    learned: LearnedLabels,
) -> None:
    refitted = (change("exclude"), make_reward(3, ledger_seq=12))
    later = change("exclude", number=1, from_seq=10)
    expected = previewed(hand_made_view(*refitted), learned, later)
    assert (expected.labels_returning, expected.labels_leaving) == (2, 0)
    assert expected.weight_share == pytest.approx(2 / 10)
    assert expected.forces_refit
    shift = find_shift(hand_made_view(*refitted, later), learned)
    assert shift == Shift(returned=frozenset({7, 8}), weight_share=2 / 10)
    # A fit that learned them settles it, and from earlier on again they leave.
    settled = (*refitted, later, make_reward(4, ledger_seq=13))
    assert find_shift(hand_made_view(*settled), learned) == Shift()
    earlier = hand_made_view(*settled, change("exclude", number=2, from_seq=8))
    assert find_shift(earlier, learned).left == frozenset({8})


class _Unread(tuple[LabelEvent, ...]):
    """Events that may be looked up one by one, and not gone through."""

    def __iter__(self) -> NoReturn:
        raise AssertionError("all events are gone through")


def test_where_the_columns_are_known_no_label_is_gone_through(learned: LearnedLabels) -> None:
    view = hand_made_view(change("exclude"), make_reward(3, ledger_seq=12, learned=[1, 2, 9]))
    view = replace(view, rewards=view.rewards[-1:])
    table, back = learned.table(view), change("reinstate", number=1)
    standing = standings(view.queries, view.events, CONFIG).after(back)
    wanted = preview(view, learned, back, standing)
    shift = find_shift(view, learned)
    unread = replace(view, events=_Unread(view.events))
    assert preview(unread, learned, back, standing, table) == wanted
    assert find_shift(unread, learned, table) == shift


def test_before_the_first_fit_nothing_is_forced(learned: LearnedLabels) -> None:
    view = replace(hand_made_view(change("exclude")), rewards=(), policies=())
    assert find_shift(view, learned) == Shift()
    changes = previewed(replace(hand_made_view(), rewards=()), learned, change("exclude"))
    assert (changes.labels_leaving, changes.forces_refit, changes.reward_versions) == (3, False, ())
    assert changes.weight_share == pytest.approx(3 / 11)


def test_contamination_begins_with_the_first_policy_on_such_a_reward(
    learned: LearnedLabels,
) -> None:
    view = hand_made_view()
    assert contaminated_from(view, learned, frozenset({7})) == 1
    assert contaminated_from(view, learned, frozenset({10})) == 3
    assert contaminated_from(view, learned, frozenset({11})) is None


def test_a_rollback_behind_it_ends_contamination(learned: LearnedLabels) -> None:
    cleaned = hand_made_view(make_provenance(4, 2, restored_from=2))
    assert contaminated_from(cleaned, learned, frozenset({10})) is None
    # Labels that version 2 had learned too are still in it: the first of all is named.
    assert contaminated_from(cleaned, learned, frozenset({7})) == 1


def test_a_preview_says_what_would_leave_and_what_it_touched(learned: LearnedLabels) -> None:
    view = hand_made_view()
    changes = previewed(view, learned, change("exclude", from_seq=8))
    assert asdict(changes) == {
        "labeler_id": "bob",
        "from_seq": 8,
        "labels_leaving": 2,
        "labels_returning": 0,
        "weight_share": pytest.approx(0.2),
        "forces_refit": True,
        "reward_versions": (1, 2),
        "policy_versions": (1, 3),
        "undoable": None,
    }
    late = previewed(view, learned, change("exclude", from_seq=10))
    assert (late.labels_leaving, late.reward_versions, late.policy_versions) == (1, (2,), (3, 3))
    unlearned = previewed(view, learned, change("exclude", "ann", from_seq=11))
    assert (unlearned.labels_leaving, unlearned.weight_share, unlearned.forces_refit) == (
        1,
        0.0,
        False,
    )
    assert unlearned.policy_versions is None


def test_a_preview_of_a_reinstatement_says_what_would_come_back(learned: LearnedLabels) -> None:
    view = hand_made_view(change("exclude"), make_reward(3, ledger_seq=12))
    changes = previewed(view, learned, change("reinstate", number=1))
    assert (changes.labels_leaving, changes.labels_returning, changes.forces_refit) == (0, 3, True)
    assert changes.weight_share == pytest.approx(3 / 11)
    assert changes.reward_versions == (1, 2)
