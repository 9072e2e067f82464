"""Win rates by judges and by those who train, on the same queries, and what lies between them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest

from label_queue.figures.agreement import wilson_bounds
from label_queue.figures.judged import gap_bounds, judged_rates
from label_queue.figures.validation import ValidationVote, WinRate, winrate
from label_queue.figures.validation_votes import ValidationFold
from label_queue.folds.history import LabelHistory
from label_queue.quality_config import QualityConfig
from label_queue.queue import LabelQueue
from protocol.labels import AnswerEvent, LabelEvent
from tests.support.labels import (
    make_appointment,
    make_config,
    make_event,
    make_exclusion,
    make_query,
    make_reinstatement,
    make_retraction,
)
from tests.support.messages import make_policy
from tests.support.metric_proofs import proves
from tests.unit.label_queue.conftest import MakeQueue
from tests.unit.label_queue.labeling import answer_orders, choose, reference_rollouts


def vote(query: int, labeler: str, *, is_win: bool) -> ValidationVote:
    return ValidationVote(
        received_at=1.0,
        is_win=is_win,
        policy_versions=(1,),
        query_id=f"q{query}",
        labeler_id=labeler,
    )


def plain(wins: int, trials: int) -> WinRate:
    """A rate of votes on their own."""
    low, high = wilson_bounds(wins, trials)
    return WinRate(rate=wins / trials, low=low, high=high, num_labels=trials)


@pytest.mark.parametrize(
    ("one", "other", "bounds"),
    [
        ((56, 70), (48, 80), (0.0524, 0.3339)),
        ((9, 10), (3, 10), (0.1705, 0.8090)),
        ((5, 56), (0, 29), (-0.0381, 0.1926)),
        ((10, 10), (0, 10), (0.6075, 1.0)),
    ],
)
def test_the_gap_has_the_bounds_of_newcombe_s_tenth_method(
    one: tuple[int, int], other: tuple[int, int], bounds: tuple[float, float]
) -> None:
    """Table II of Newcombe 1998, cases (a), (c), (e) and (h)."""
    assert gap_bounds(plain(*one), plain(*other)) == pytest.approx(bounds, abs=5e-5)


def test_both_rates_are_of_the_queries_that_both_sides_answered() -> None:
    training = [
        vote(5, "ann", is_win=True),
        vote(4, "bob", is_win=True),
        vote(3, "ann", is_win=False),
        vote(2, "bob", is_win=True),
        vote(1, "ann", is_win=False),
    ]
    judging = [
        vote(1, "dot", is_win=False),
        vote(2, "dot", is_win=False),
        vote(2, "eve", is_win=True),
        vote(4, "dot", is_win=False),
        vote(6, "dot", is_win=True),
    ]
    found = judged_rates(training, judging)
    assert found.num_queries == 3
    assert (found.by_training.rate, found.by_training.num_labels) == (2 / 3, 3)
    assert (found.by_judges.rate, found.by_judges.num_labels) == (1 / 4, 4)
    assert found.gap == pytest.approx(2 / 3 - 1 / 4)
    assert found.by_judges == winrate([judging[3], judging[1], judging[2], judging[0]])
    assert (found.low, found.high) == gap_bounds(found.by_training, found.by_judges)
    assert -1 <= found.low < found.gap < found.high <= 1
    newest = judged_rates(training, judging, last=2)
    assert newest.num_queries == 2
    assert (newest.by_training.rate, newest.by_judges.rate) == (1.0, 1 / 3)


def test_all_votes_on_a_query_that_is_among_the_newest_count() -> None:
    training = [
        vote(2, "ann", is_win=True),
        vote(2, "bob", is_win=False),
        vote(1, "ann", is_win=True),
    ]
    judging = [vote(1, "dot", is_win=True), vote(2, "dot", is_win=True)]
    assert judged_rates(training, judging, last=1).by_training.num_labels == 2
    # bob's was given before ann's of another query.
    apart = judged_rates([training[0], training[2], training[1]], judging, last=1)
    assert (apart.num_queries, apart.by_training.num_labels, apart.gap) == (1, 2, -0.5)


def test_where_nothing_is_shared_there_is_no_gap() -> None:
    found = judged_rates([vote(1, "ann", is_win=True)], [vote(2, "dot", is_win=True)])
    assert found.num_queries == 0
    assert all(math.isnan(each) for each in (found.gap, found.low, found.high))


def fold_of(events: Sequence[LabelEvent]) -> ValidationFold:
    """What is counted of labels on five validation queries, looked at after each."""
    queries = {
        query.query_id: query
        for query in (
            make_query(number, purpose="validation", versions=(0, number + 1))
            for number in range(5)
        )
    }
    history = LabelHistory(queries, QualityConfig())
    fold = ValidationFold(queries, history)
    for number, event in enumerate(events, 1):
        history.apply(replace(event, seq=number))
        fold.votes()
    return fold


QUERIES = [make_query(number, versions=(0, number + 1)) for number in range(5)]


def test_votes_of_judges_are_kept_by_themselves_and_follow_what_becomes_of_them() -> None:
    first, second, third, *_ = QUERIES
    given: list[LabelEvent] = [
        make_appointment("dot"),
        make_event(first, "dot", choice=1),
        make_event(second, "dot", choice=0),
        make_event(first, "ann", choice=0),
        make_event(third, "dot", choice=1),
    ]

    def judged(more: Sequence[LabelEvent] = ()) -> list[tuple[str, bool]]:
        return [(v.query_id, v.is_win) for v in fold_of([*given, *more]).judged_votes()]

    assert judged() == [("q0", True), ("q1", False), ("q2", True)]
    fold = fold_of(given)
    assert [each.labeler_id for each in fold.votes()] == ["ann"]
    assert fold.win_share() == 0.0
    assert [v.query_id for v in fold.judged_votes(frozenset({2}))] == ["q0", "q2"]
    revised = make_event(first, "dot", choice=0, revision=1)
    assert judged([revised]) == [("q1", False), ("q2", True), ("q0", False)]
    assert judged([make_retraction(second, "dot")]) == [("q0", True), ("q2", True)]
    out = make_exclusion("dot", number=1, from_seq=3)
    assert judged([out]) == [("q0", True)]
    assert judged([out, make_reinstatement("dot", number=2)]) == judged()


def test_who_labelled_before_they_were_appointed_votes_with_those_who_train() -> None:
    first, second, *_ = QUERIES
    fold = fold_of(
        [
            make_event(first, "dot", choice=1),
            make_appointment("dot"),
            make_event(second, "dot", choice=1),
        ]
    )
    assert fold.judged_votes() == []
    assert [each.query_id for each in fold.votes()] == ["q0", "q1"]


async def judge(queue: LabelQueue, name: str, *, wins: int, losses: int) -> None:
    """Answer the next validation queries, first those that the policy wins."""
    for number in range(wins + losses):
        query_id = await choose(queue, name, None)
        event = queue.state.tallies.first_answer(name, query_id)
        query = queue.state.board.queries[query_id]
        assert event is not None
        is_win = number < wins
        chosen = next(c for c in query.candidates if (c.policy_version > 0) == is_win)
        revision = make_event(query, name, revision=1, choice=query.candidates.index(chosen))
        [written] = await queue.commits.write(
            [
                replace(
                    revision,
                    label_id=event.label_id,
                    assignment_id=event.assignment_id,
                    event_id=f"{event.assignment_id}:1",
                )
            ]
        )
        assert isinstance(written, AnswerEvent)
        assert written.event_id.endswith(":1")


@proves("policy/winrate_judges", "policy/winrate_gap")
async def test_the_live_figures_are_those_of_the_shared_queries(make_queue: MakeQueue) -> None:
    queue = make_queue(make_config(validation_share=0.9))
    loop = queue.policy_loop
    await loop.add_reference(reference_rollouts(20))
    await loop.set_progress(0, make_policy(1))
    await queue.owner.add_labeler("ann")
    await queue.owner.add_labeler("dot", judges=True)
    await answer_orders(queue, version=1)
    assert "policy/winrate_judges" not in await loop.online_stats()
    num_validation = queue.state.board.num_made["validation"]
    await judge(queue, "dot", wins=3, losses=num_validation - 3)
    assert "policy/winrate_gap" not in await loop.online_stats()
    await judge(queue, "ann", wins=14, losses=0)
    stats = await loop.online_stats()
    assert stats["policy/winrate_judges"] == pytest.approx(3 / num_validation)
    assert stats["policy/winrate_gap"] == pytest.approx(1 - 3 / num_validation)
    assert stats["policy/winrate_recent"] == 1.0
    progress = (await queue.owner.overview()).progress
    assert progress.winrate_judges == stats["policy/winrate_judges"]
    assert progress.winrate_gap == stats["policy/winrate_gap"]
    assert progress.winrate_gap_low is not None
    assert progress.winrate_gap_low < stats["policy/winrate_gap"]
    # What guards look at is as it was without judges.
    assert {each.labeler_id for each in await loop.validation_votes()} == {"ann"}
    assert await loop.lost_votes(10) == ()
    # And a rollback leaves nothing of the version left behind.
    await loop.set_progress(0, replace(make_policy(2), restored_from=0))
    assert "policy/winrate_judges" not in await loop.online_stats()
    assert queue.state.figures.judged().num_queries == num_validation
