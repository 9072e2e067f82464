from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from label_queue.folds.board import QueryBoard
from label_queue.folds.open_query import Lease
from protocol.labels import ComparisonQuery
from tests.support.labels import make_assignment, make_event, make_query


def make_board(
    *queries: ComparisonQuery,
    interval: float = 0.0,
    expiry_nats: float = 1.0,
    moved: Mapping[int, float] | None = None,
) -> QueryBoard:
    """A board by whose policy so many nats were moved since each version; 0 since others."""
    known = {} if moved is None else moved
    board = QueryBoard(
        initial=10,
        interval=interval,
        expiry_nats=expiry_nats,
        moved_since=lambda version: known.get(version, 0.0),
    )
    for query in queries:
        board.add_query(query)
    return board


def picked(board: QueryBoard, labeler_id: str, now: float = 1_000.0) -> str | None:
    entry = board.pick(labeler_id, now)
    return entry.query.query_id if entry else None


def test_oldest_first_and_each_to_one_labeler() -> None:
    first, second = make_query(0), make_query(1)
    board = make_board(first, second)
    assert picked(board, "ann") == "q0"
    board.add_assignment(make_assignment(first, "ann"))
    assert picked(board, "bob") == "q1"
    board.add_assignment(make_assignment(second, "bob"))
    assert picked(board, "cid") is None
    assert board.open_slots == 2


def test_an_answer_fills_the_slot() -> None:
    query = make_query()
    board = make_board(query)
    board.add_assignment(make_assignment(query))
    board.apply(make_event(query))
    assert board.open_slots == 0
    assert picked(board, "bob", now=1e9) is None
    assert board.num_leased("ann", 1_000.0) == 0


def test_an_overlap_query_goes_to_different_labelers() -> None:
    query = make_query(num_wanted=2)
    board = make_board(query)
    board.add_assignment(make_assignment(query, "ann"))
    assert picked(board, "ann") is None
    board.apply(make_event(query, "ann"))
    assert picked(board, "ann") is None
    assert picked(board, "bob") == "q0"
    assert board.open_slots == 1


def test_the_rest_of_an_answered_query_is_not_sure_to_come() -> None:
    overlap, train = make_query(0, num_wanted=3), make_query(1)
    board = make_board(overlap, train)
    assert board.slots_to_come(1_000.0, 600.0) == 4
    board.add_assignment(make_assignment(overlap, "ann"))
    assert board.slots_to_come(1_000.0, 600.0) == 4
    board.apply(make_event(overlap, "ann"))
    assert (board.slots_to_come(1_000.0, 600.0), board.open_slots) == (1, 3)


def test_holders_are_those_whose_lease_runs() -> None:
    first, second = make_query(0), make_query(1)
    board = make_board(first, second)
    board.add_assignment(make_assignment(first, "ann", lease_until=1_600.0))
    board.add_assignment(make_assignment(second, "bob", lease_until=1_700.0))
    assert board.holders(1_599.0) == {"ann", "bob"}
    assert board.holders(1_600.0) == {"bob"}
    board.apply(make_event(second, "bob"))
    assert board.holders(1_000.0) == {"ann"}


def test_a_lapsed_lease_frees_the_slot_and_its_holder_may_go_on() -> None:
    query = make_query()
    board = make_board(query)
    assignment = make_assignment(query, "ann", lease_until=1_600.0)
    board.add_assignment(assignment)
    assert picked(board, "bob", now=1_599.0) is None
    assert picked(board, "bob", now=1_600.0) == "q0"
    entry = board.pick("ann", 1_600.0)
    assert entry is not None
    assert entry.holders["ann"] == assignment.assignment_id


def test_a_heartbeat_prolongs_the_lease() -> None:
    query = make_query()
    board = make_board(query)
    assignment = make_assignment(query, "ann", lease_until=1_600.0)
    board.add_assignment(assignment)
    board.lease(assignment, since=1_000.0, until=1_900.0)
    assert picked(board, "bob", now=1_899.0) is None
    assert board.num_leased("ann", 1_899.0) == 1
    assert board.num_leased("ann", 1_900.0) == 0


def test_a_late_answer_counts_if_the_slot_is_open_and_harms_nothing_if_not() -> None:
    query = make_query()
    board = make_board(query)
    board.add_assignment(make_assignment(query, "ann"))
    board.add_assignment(make_assignment(query, "bob"))
    board.apply(make_event(query, "ann"))
    assert board.open_slots == 0
    board.apply(make_event(query, "bob"))
    assert board.open_slots == 0


def test_a_heartbeat_after_the_answer_revives_nothing() -> None:
    query = make_query(num_wanted=2)
    board = make_board(query)
    assignment = make_assignment(query, "ann")
    board.add_assignment(assignment)
    board.apply(make_event(query, "ann"))
    board.lease(assignment, since=1_000.0, until=9_999.0)
    assert board.num_leased("ann", 1_000.0) == 0
    assert picked(board, "bob") == "q0"


def test_a_released_hold_is_as_if_it_never_was() -> None:
    query = make_query()
    board = make_board(query)
    assignment = make_assignment(query)
    board.lease(assignment, since=1_000.0, until=1_600.0)
    assert picked(board, "bob") is None
    board.release(assignment)
    assert picked(board, "bob") == "q0"
    assert board.num_leased("ann", 1_000.0) == 0


def test_unclaimed_queries_expire_by_time() -> None:
    old, young = make_query(0, expires_at=2_000.0), make_query(1, expires_at=3_000.0)
    board = make_board(old, young)
    assert board.expire(1_999.0, labels=0) == 0
    assert board.expire(2_000.0, labels=0) == 1
    assert picked(board, "ann") == "q1"


def test_unclaimed_queries_expire_after_one_refit_interval_of_newer_labels() -> None:
    before_rl, during_rl = make_query(0, labels_before=3), make_query(1, labels_before=15)
    board = make_board(before_rl, during_rl, interval=8.0)
    # Labels before RL age nothing: the policy is ρ all the while. 17 is 7 above N₀.
    assert board.expire(1_000.0, labels=17) == 0
    assert board.expire(1_000.0, labels=18) == 1
    assert board.expire(1_000.0, labels=22) == 0
    assert board.expire(1_000.0, labels=23) == 1


@pytest.mark.parametrize(("moved", "expired"), [(0.9, 0), (1.0, 0), (1.1, 1)])
def test_unclaimed_queries_expire_once_the_policy_has_moved_too_far_on(
    moved: float, expired: int
) -> None:
    board = make_board(make_query(0, versions=(1,) * 4), moved={1: moved})
    assert board.expire(1_000.0, labels=0) == expired
    assert board.open_slots == 1 - expired


def test_of_responses_by_several_versions_the_newest_says_how_far_the_policy_has_moved() -> None:
    """So it is with ρ's beside the policy's, in a query for validation."""
    validation = make_query(0, versions=(0, 0, 3, 2), purpose="validation")
    board = make_board(validation, moved={0: 9.0, 2: 1.1, 3: 1.0})
    assert board.expire(1_000.0, labels=0) == 0


def test_a_query_of_an_older_policy_may_come_after_one_of_a_newer() -> None:
    newer, older = make_query(0, versions=(2,) * 4), make_query(1, versions=(1,) * 4)
    board = make_board(newer, older, moved={1: 1.5, 2: 0.5})
    assert board.expire(1_000.0, labels=0) == 1
    assert [query.query_id for query in board.open_queries(1_000.0)] == ["q0"]


def test_gold_and_repeats_do_not_grow_old() -> None:
    gold = make_query(0, purpose="gold")
    repeat = make_query(1, purpose="repeat", repeat_of="q9")
    board = make_board(gold, repeat, moved={1: 9.0})
    for query in (gold, repeat):
        board.add_assignment(make_assignment(query, lease_until=1_600.0))
    assert board.expire(1_600.0, labels=0) == 0
    assert picked(board, "ann", now=1_600.0) == "q0"


def test_what_was_let_lapse_comes_again_in_the_order_given_whatever_it_is_for() -> None:
    gold, first, second, fresh = (
        make_query(0, purpose="gold"),
        make_query(1),
        make_query(2),
        make_query(3),
    )
    board = make_board(gold, fresh, first, second)
    for since, query in enumerate((first, gold, second)):
        board.add_assignment(make_assignment(query))
        board.lease(make_assignment(query), since=1_000.0 + since, until=1_600.0)
    again = []
    while (entry := board.pick("ann", 1_600.0)) is not None and "ann" in entry.holders:
        again.append(entry.query.query_id)
        held = make_assignment(entry.query)
        board.lease(held, since=entry.held_since("ann"), until=2_200.0)
    assert again == ["q1", "q0", "q2"]


def test_gold_that_was_let_lapse_goes_as_a_query_would_to_who_asks_next() -> None:
    before, gold = make_query(0), make_query(1, purpose="gold")
    board = make_board(before, gold, make_query(2))
    for since, query in enumerate((before, gold)):
        board.add_assignment(make_assignment(query))
        board.lease(make_assignment(query), since=1_000.0 + since, until=1_600.0)
    held = []
    for number in range(2):
        entry = board.pick("bob", 1_600.0)
        assert entry is not None
        taken = make_assignment(entry.query, "bob")
        board.add_assignment(taken)
        board.lease(taken, since=1_600.0, until=2_200.0)
        board.pass_over(entry, "bob", 1_600.0)
        is_held = board.lease_of(make_assignment(gold), 1_600.0) is not None
        held.append((number, entry.query.query_id, is_held))
    # The query that was given before it went first.
    assert held == [(0, "q0", True), (1, "q2", False)]


def test_gold_that_was_let_lapse_ends_as_the_query_in_whose_place_it_is() -> None:
    gold, held = (make_query(n, purpose="gold", expires_at=2_000.0) for n in range(2))
    board = make_board(gold, held)
    board.add_assignment(make_assignment(gold, lease_until=1_600.0))
    board.add_assignment(make_assignment(held, lease_until=9_000.0))
    assert (board.expire(1_999.0, labels=0), picked(board, "ann", now=1_999.0)) == (0, "q0")
    assert (board.expire(2_000.0, labels=0), picked(board, "ann", now=2_000.0)) == (0, None)
    assert board.lease_of(make_assignment(held), 2_000.0) is not None


def test_what_judges_are_asked_does_not_end_as_the_policy_moves_on() -> None:
    board = make_board(make_query(0, versions=(0, 0, 1, 1), purpose="validation"), moved={1: 9.0})
    board.appoint("dot")
    assert board.expire(1_000.0, labels=0) == 1
    assert (picked(board, "ann"), picked(board, "dot")) == (None, "q0")


def test_what_is_leased_stays_however_far_the_policy_has_moved() -> None:
    query = make_query()
    board = make_board(query, moved={1: 9.0})
    board.add_assignment(make_assignment(query, "ann", lease_until=1_600.0))
    assert board.expire(1_599.0, labels=0) == 0
    assert board.expire(1_600.0, labels=0) == 1


def test_what_is_leased_stays_and_what_is_half_answered_gives_up_the_rest() -> None:
    leased, half = make_query(0), make_query(1, num_wanted=3)
    board = make_board(leased, half)
    board.add_assignment(make_assignment(leased, "ann", lease_until=9_000.0))
    board.add_assignment(make_assignment(half, "ann"))
    board.apply(make_event(half, "ann"))
    assert board.expire(5_000.0, labels=0) == 2
    assert board.open_slots == 1
    # Its time is over: whoever had it may go on, and nobody begins.
    assert (picked(board, "bob", now=9_000.0), picked(board, "ann", now=9_000.0)) == (None, "q0")


def test_knowing_a_thing_twice_changes_nothing() -> None:
    query = make_query()
    board = make_board(query, replace(query, prompt_text="again"))
    board.add_assignment(make_assignment(query, lease_until=1_600.0))
    board.add_assignment(make_assignment(query, lease_until=9_999.0))
    assert board.open_slots == 1
    assert picked(board, "bob", now=1_600.0) == "q0"


def test_who_holds_what_and_since_when() -> None:
    first, second = make_query(0), make_query(1)
    board = make_board(first, second)
    board.add_assignment(make_assignment(first, "bob", lease_until=1_600.0))
    board.lease(make_assignment(first, "bob"), since=1_000.0, until=2_200.0)
    board.add_assignment(make_assignment(second, "ann", lease_until=1_600.0))
    assert board.held(1_500.0) == {
        "ann": [Lease(since=1_000.0, until=1_600.0)],
        "bob": [Lease(since=1_000.0, until=2_200.0)],
    }
    assert list(board.held(1_600.0)) == ["bob"]


def test_a_task_held_for_too_long_is_for_others_and_not_sure_to_come() -> None:
    query = make_query()
    board = make_board(query)
    assignment = make_assignment(query, "ann", lease_until=1_600.0)
    board.add_assignment(assignment)
    board.lease(assignment, since=1_000.0, until=3_000.0)
    assert board.slots_to_come(1_600.0, overdue_s=600.0) == 1
    assert board.slots_to_come(1_600.1, overdue_s=600.0) == 0
    assert board.slots_to_come(3_000.0, overdue_s=600.0) == 1  # free again, so it may come
    assert board.pick("ann", 3_000.0, max_age_s=2_000.0) is None
    assert board.pick("bob", 3_000.0, max_age_s=2_000.0) is not None
    assert board.pick("ann", 3_000.0, max_age_s=2_000.1) is not None


def test_a_lease_that_is_over_can_be_renewed_while_the_slot_is_free() -> None:
    query = make_query()
    board = make_board(query)
    ann, bob = (make_assignment(query, name, lease_until=1_600.0) for name in ("ann", "bob"))
    board.add_assignment(ann)
    assert board.lease_of(ann, 1_700.0) == Lease(since=1_000.0, until=1_600.0)
    board.add_assignment(bob)
    board.lease(bob, since=1_700.0, until=2_300.0)
    assert board.lease_of(ann, 1_700.0) is None
    assert board.lease_of(bob, 1_700.0) == Lease(since=1_700.0, until=2_300.0)
    board.apply(make_event(query, "ann"))
    assert board.lease_of(bob, 1_700.0) is None


def test_what_somebody_holds_ahead_can_be_spared_but_not_the_task_in_hand() -> None:
    queries = [make_query(number) for number in range(6)]
    board = make_board(*queries)
    for query in queries[:2]:
        board.add_assignment(make_assignment(query, "ann"))
    for query in queries[2:5]:
        board.add_assignment(make_assignment(query, "bob"))
    board.add_assignment(make_assignment(queries[5], "cid"))

    taken = []
    while (assignment := board.spare("eve", 1_000.0)) is not None:
        taken.append(assignment.assignment_id)
        entry = board.take_back(assignment, 1_000.0)
        assert entry.free_slots(1_000.0) == 1
        board.lease(make_assignment(entry.query, "eve"), since=1_000.0, until=1_600.0)
        board.release(make_assignment(entry.query, "eve"))
        board.lease(make_assignment(entry.query, "dan"), since=1_000.0, until=1_600.0)
        board.apply(make_event(entry.query, "dan"))
    assert taken == ["q4/bob", "q1/ann", "q3/bob"]
    assert board.holders(1_000.0) == {"ann", "bob", "cid"}


def test_nobody_is_given_a_spare_task_that_they_had_or_gold_meant_for_another() -> None:
    overlap, gold, mine = (
        make_query(0, num_wanted=2),
        make_query(1, purpose="gold"),
        make_query(2),
    )
    board = make_board(overlap, gold, mine)
    for query in (mine, gold, overlap):
        board.add_assignment(make_assignment(query, "ann"))
    assert board.spare("ann", 1_000.0) is None
    assert board.spare("bob", 1_000.0) == make_assignment(overlap, "ann")
    board.add_assignment(make_assignment(overlap, "bob"))
    board.apply(make_event(overlap, "bob"))
    assert board.spare("bob", 1_000.0) is None
