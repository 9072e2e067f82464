"""How far the learned score goes with people, worked out by hand or by other means."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest

from cluster.report.score_correlation import (
    LEAST_SYSTEMS,
    MOST_GROUPS,
    QUERIES_A_GROUP,
    Correlations,
    JudgedQuery,
    Point,
    System,
    correlations,
    items,
    judged_queries,
    systems,
)
from protocol.labels import AnswerEvent, ComparisonQuery
from tests.support.labels import make_event, make_query


def points(*pairs: tuple[float, float]) -> list[Point]:
    return [Point(learned=learned, chosen=chosen) for learned, chosen in pairs]


def judged(
    version: int, scores: tuple[float, ...] = (1.0, 0.0), choices: tuple[int, ...] = (1, 0)
) -> JudgedQuery:
    """A query of a response of the policy and one of ρ."""
    return JudgedQuery(version=version, is_reference=(False, True), scores=scores, choices=choices)


def validation(number: int, versions: tuple[int, ...] = (0, 2, 2, 0)) -> ComparisonQuery:
    return make_query(number, purpose="validation", versions=versions)


def test_the_three_correlations_of_four_points_by_hand() -> None:
    # Ranks 1 2 3 4 against 1 3 2 4: of six pairs five agree, and 1 − 6 · 2/(4 · 15).
    found = correlations(points((0.0, 1.0), (1.0, 3.0), (2.0, 2.0), (3.0, 4.0)), least=4)
    assert found is not None
    assert found.kendall == pytest.approx((5 - 1) / 6)
    assert found.spearman == pytest.approx(1 - 6 * 2 / (4 * 15))
    assert found.pearson == pytest.approx(0.8)


def test_ties_are_corrected_for() -> None:
    given = points((0.0, 0.0), (1.0, 0.0), (2.0, 1.0), (3.0, 1.0))
    # Of six pairs two are tied in one: τ_b = 4/√(6 · 4).
    found = correlations(given, least=4)
    assert found is not None
    assert found.kendall == pytest.approx(4 / math.sqrt(6 * 4))
    assert found.spearman == pytest.approx(np.corrcoef([1, 2, 3, 4], [1.5, 1.5, 3.5, 3.5])[0, 1])


def test_kendall_s_is_that_of_going_through_all_pairs() -> None:
    rng = np.random.default_rng(3)
    given = [Point(learned=x, chosen=y) for x, y in rng.normal(size=(40, 2)).tolist()]
    signs = [
        math.copysign(1, (a.learned - b.learned) * (a.chosen - b.chosen))
        for a, b in combinations(given, 2)
    ]
    found = correlations(given, least=2)
    assert found is not None
    assert found.kendall == pytest.approx(sum(signs) / len(signs))


@pytest.mark.parametrize(
    "given",
    [
        points((0.0, 0.0), (1.0, 1.0), (2.0, 2.0)),
        points((0.0, 0.0), (0.0, 1.0), (0.0, 2.0), (0.0, 3.0)),
        points((0.0, 0.5), (1.0, 0.5), (2.0, 0.5), (3.0, 0.5)),
        [],
    ],
)
def test_of_too_few_points_or_where_one_side_is_flat_nothing_is_told(given: list[Point]) -> None:
    assert correlations(given, least=4) is None


def test_a_perfect_reward_has_one_and_a_turned_one_minus_one() -> None:
    given = points((0.0, 0.1), (1.0, 0.2), (2.0, 0.9), (3.0, 1.0))
    found = correlations(given, least=4)
    turned = correlations([Point(learned=-p.learned, chosen=p.chosen) for p in given], least=4)
    assert found is not None
    assert (found.spearman, found.kendall) == pytest.approx((1.0, 1.0))
    assert turned == Correlations(pearson=-found.pearson, spearman=-1.0, kendall=-1.0)


def test_queries_are_read_with_the_choices_that_are_between_the_policy_and_rho() -> None:
    first, second, untrained, unscored, train = (
        validation(0),
        validation(1, (0, 3, 5, 0)),
        validation(2, (0, 0, 0, 0)),
        validation(3),
        make_query(4),
    )
    queries = {each.query_id: each for each in (first, second, untrained, unscored, train)}
    given: list[AnswerEvent] = [
        make_event(second, "dot", choice=2),
        make_event(first, "dot", choice=1),
        make_event(first, "eve", choice=1),
        make_event(first, "fay", choice=3),
        make_event(first, "guy", outcome="tie"),
        make_event(untrained, "dot"),
        make_event(unscored, "dot"),
        make_event(train, "dot"),
    ]
    scores = {
        each.candidate_id: float(number)
        for query in (first, second, untrained, train)
        for number, each in enumerate(query.candidates)
    }
    found = judged_queries(queries, given, scores)
    assert found == [
        JudgedQuery(
            version=2,
            is_reference=(True, False, False, True),
            scores=(0.0, 1.0, 2.0, 3.0),
            choices=(0, 2, 0, 1),
        ),
        JudgedQuery(
            version=3,
            is_reference=(True, False, False, True),
            scores=(0.0, 1.0, 2.0, 3.0),
            choices=(0, 0, 1, 0),
        ),
    ]


def test_an_item_is_a_response_beside_those_it_was_shown_with() -> None:
    queries = [
        judged(1, scores=(3.0, 1.0), choices=(3, 1)),
        judged(2, scores=(101.0, 99.0), choices=(0, 1)),  # an easy prompt
    ]
    assert items(queries) == points((1.0, 0.75), (-1.0, 0.25), (1.0, 0.0), (-1.0, 1.0))


def test_a_system_is_rho_or_versions_that_as_many_queries_show() -> None:
    queries = [
        judged(version, scores=(float(version), 0.5), choices=(2, 0) if version > 2 else (1, 1))
        for version in (3, 3, 3, 3, 3, 3, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 4)
    ]
    reference, early, late = systems(queries)
    assert reference == System(learned=0.0, chosen=0.5, first=0, last=0, num_queries=19)
    # Six queries of version 1 are too few by themselves; the one of 4 joins those before it.
    assert (early.first, early.last, early.num_queries) == (1, 2, 12)
    assert (late.first, late.last, late.num_queries) == (3, 4, 7)
    assert early.learned == pytest.approx(1.5 - 0.5)
    assert late.learned == pytest.approx((6 * 2.5 + 3.5) / 7)
    assert (early.chosen, late.chosen) == (0.5, 1.0)
    assert systems([]) == []


def test_there_are_never_too_many_systems_and_no_version_is_parted() -> None:
    many = [judged(1 + number // 3) for number in range(300)]
    found = systems(many)
    assert LEAST_SYSTEMS <= len(found) <= 1 + MOST_GROUPS
    assert sum(each.num_queries for each in found[1:]) == 300
    assert all(each.num_queries >= QUERIES_A_GROUP for each in found[1:])
    bounds = [each for system in found[1:] for each in (system.first, system.last)]
    assert bounds == sorted(set(bounds))
    one_version = systems([judged(7)] * 50)
    assert [(each.first, each.last) for each in one_version] == [(0, 0), (7, 7)]


def test_by_system_a_reward_that_saw_the_policy_get_better_goes_with_people() -> None:
    queries = [
        judged(v, scores=(0.1 * v + 0.01 * n, 0.0), choices=(8 + v, 8))
        for v in range(1, 7)
        for n in range(12)
    ]
    assert len(systems(queries)) == 7
    found = correlations(systems(queries), LEAST_SYSTEMS)
    assert found is not None
    assert (found.spearman, found.kendall) == pytest.approx((1.0, 1.0))
    assert 0.9 < found.pearson < 1.0
