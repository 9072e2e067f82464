from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

import pytest
from scipy.stats import binomtest

from label_queue.figures.agreement import wilson_bounds
from label_queue.figures.validation import (
    ValidationVote,
    clustered_variance,
    winrate,
)
from label_queue.figures.validation_votes import ValidationFold
from label_queue.folds.history import LabelHistory
from label_queue.quality_config import QualityConfig
from protocol.labels import ComparisonQuery, LabelEvent
from tests.support import labels
from tests.support.synthetic_run import make_label, make_query


def wins(queries: Iterable[ComparisonQuery], given: Iterable[LabelEvent]) -> list[bool]:
    """What is counted of some labels, in order."""
    by_id = {query.query_id: query for query in queries}
    history = LabelHistory(by_id, QualityConfig())
    fold = ValidationFold(by_id, history)
    for number, label in enumerate(given, 1):
        history.apply(replace(label, seq=number))
        fold.votes()
    return [vote.is_win for vote in fold.votes()]


def test_validation_counts_choices_between_a_trained_policy_and_the_base_model() -> None:
    contest = make_query("contest", purpose="validation", versions=(5, 0, 0, 5))
    untrained = make_query("untrained", purpose="validation", versions=(0, 0, 0, 0))
    train = make_query("train", versions=(5, 0, 0, 5))
    given = [
        make_label(contest, "a", 0, 1.0),
        make_label(contest, "b", 1, 2.0),
        make_label(contest, "c", 3, 3.0),
        make_label(contest, "d", None, 4.0),
        make_label(untrained, "a", 0, 5.0),
        make_label(train, "a", 0, 6.0),
    ]
    assert wins([contest, untrained, train], given) == [True, False, True]


def test_a_ranking_votes_for_its_first() -> None:
    query = make_query("ranked", versions=(0, 2), purpose="validation")
    names = tuple(candidate.candidate_id for candidate in query.candidates)
    label = replace(make_label(query, "a", None, 1.0), outcome="ranking", ranking=names[::-1])
    assert wins([query], [label]) == [True]


def test_a_query_with_more_of_the_base_model_than_of_the_policy_is_no_even_contest() -> None:
    query = make_query("late", purpose="validation", versions=(0, 0, 0, 2))
    assert wins([query], [make_label(query, "a", 3, 1.0)]) == []


def test_votes_follow_what_is_revised_retracted_and_excluded() -> None:
    queries = [
        labels.make_query(number, purpose="validation", versions=(0, 2)) for number in range(3)
    ]
    first, second, third = queries
    given: list[LabelEvent] = [
        labels.make_event(first, choice=0),
        labels.make_event(second, choice=1),
        labels.make_event(third, choice=0),
    ]
    assert wins(queries, given) == [False, True, False]
    given.append(labels.make_event(first, choice=1, revision=1))
    assert wins(queries, given) == [True, False, True]
    given.append(labels.make_retraction(second))
    assert wins(queries, given) == [False, True]
    assert wins(queries, [*given, labels.make_exclusion("ann", from_seq=4)]) == [False]
    assert wins(queries, [*given, labels.make_exclusion("ann", from_seq=0)]) == []


def test_votes_on_versions_left_behind_are_left_out_where_that_is_asked() -> None:
    queries = [
        labels.make_query(number, purpose="validation", versions=(0, version))
        for number, version in enumerate((2, 3, 5))
    ]
    by_id = {query.query_id: query for query in queries}
    history = LabelHistory(by_id, QualityConfig())
    for number, query in enumerate(queries, 1):
        history.apply(replace(labels.make_event(query), seq=number))
    fold = ValidationFold(by_id, history)
    assert [each.policy_versions for each in fold.votes()] == [(2,), (3,), (5,)]
    left = frozenset({3, 4})
    assert [each.policy_versions for each in fold.votes(left_behind=left)] == [(2,), (5,)]
    assert [each.policy_versions for each in fold.votes(2, left)] == [(2,), (5,)]


def vote(query: int, labeler: str, *, is_win: bool) -> ValidationVote:
    return ValidationVote(
        received_at=1.0,
        is_win=is_win,
        policy_versions=(1,),
        query_id=f"q{query}",
        labeler_id=labeler,
    )


def test_no_vote_is_no_rate() -> None:
    none = winrate([])
    assert none.num_labels == 0
    assert all(math.isnan(each) for each in (none.rate, none.low, none.high))


def test_votes_on_their_own_have_the_interval_of_wilson() -> None:
    votes = [vote(number, f"labeler-{number}", is_win=number % 4 > 0) for number in range(40)]
    told = winrate(votes)
    # One vote a group: G/(G − 1) = 40/39 of p(1 − p)/n.
    assert clustered_variance(votes, 0.75) == pytest.approx(40 / 39 * 0.75 * 0.25 / 40)
    assert (told.rate, told.low, told.high) == pytest.approx((0.75, *wilson_bounds(29.25, 39)))
    exact = binomtest(30, 40).proportion_ci(0.95, method="wilson")
    assert (told.low, told.high) == pytest.approx((exact.low, exact.high), abs=0.005)


def test_a_clustered_variance_by_hand() -> None:
    votes = [
        vote(0, "ann", is_win=True),
        vote(0, "bob", is_win=True),
        vote(1, "ann", is_win=False),
        vote(1, "bob", is_win=False),
    ]
    # By query the sums of y − ½ are 1 and −1: 2/1 · 2/16. By labeler both are 0. By both, each
    # vote on its own: 4/3 · 4 · ¼/16.
    assert clustered_variance(votes, 0.5) == pytest.approx(1 / 4 - 1 / 12)
    told = winrate(votes)
    assert (told.low, told.high) == pytest.approx(wilson_bounds(0.75, 1.5))


def test_five_answers_to_one_query_say_less_than_five_queries() -> None:
    apart = [vote(number, f"l{number % 5}", is_win=number < 35) for number in range(50)]
    together = [vote(number // 5, f"l{number % 5}", is_win=number < 35) for number in range(50)]
    wide, narrow = winrate(together), winrate(apart)
    assert wide.rate == narrow.rate == 0.7
    assert wide.high - wide.low > 1.8 * (narrow.high - narrow.low)


def test_where_all_agree_each_query_counts_once() -> None:
    votes = [vote(number // 2, f"l{number % 2}", is_win=True) for number in range(20)]
    assert (winrate(votes).low, winrate(votes).high) == pytest.approx(wilson_bounds(10, 10))


def test_one_labeler_alone_is_no_group_among_others() -> None:
    votes = [vote(number, "ann", is_win=number % 2 == 0) for number in range(10)]
    assert clustered_variance(votes, 0.5) == pytest.approx(0.25 / 10)
