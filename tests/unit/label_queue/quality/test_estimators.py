"""Self-agreement, peers, position and speed, by numbers worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from label_queue.quality.gold_tasks import AskMoment, repetition
from label_queue.quality.peers import peer_agreement
from label_queue.quality.self_agreement import consistency
from label_queue.quality.speed import num_displayed_tokens
from protocol.labels import AnswerEvent, Assignment, ComparisonQuery
from tests.support.estimators import position_bias, self_agreement, speed
from tests.support.labels import make_assignment, make_event, make_query

PAIR = (1, 1)
MOMENT = AskMoment(now=2_000.0, labels=20)

# --- self ----------------------------------------------------------------------------------------


def answered_twice(
    number: int, first: int, second: int
) -> tuple[list[ComparisonQuery], list[AnswerEvent]]:
    query = make_query(number, versions=PAIR)
    again = repetition(query, f"again-{number}", MOMENT)
    return [query, again], [make_event(query, choice=first), make_event(again, choice=second)]


def test_repeats_agree_if_they_name_the_same_candidate() -> None:
    queries: dict[str, ComparisonQuery] = {}
    labels: dict[str, AnswerEvent] = {}
    for number, (first, second) in enumerate([(0, 0), (1, 1), (0, 1), (1, 1)]):
        asked, answers = answered_twice(number, first, second)
        queries |= {query.query_id: query for query in asked}
        labels |= {label.query_id: label for label in answers}
    found = self_agreement(queries, labels)
    assert (found.agreed, found.num_repeats, found.share) == (3, 4, 0.75)


def test_a_skipped_repeat_says_nothing() -> None:
    asked, (first, _) = answered_twice(0, 0, 0)
    skipped = make_event(asked[1], outcome="skip")
    found = self_agreement(
        {query.query_id: query for query in asked}, {e.query_id: e for e in (first, skipped)}
    )
    assert (found.num_repeats, found.share) == (0, None)


def test_ties_agree_with_ties_alone() -> None:
    asked, (chosen, _) = answered_twice(0, 0, 0)
    queries = {query.query_id: query for query in asked}
    tie, tie_again = (make_event(query, outcome="tie") for query in asked)
    both = {label.query_id: label for label in (tie, tie_again)}
    assert self_agreement(queries, both).agreed == 1
    one = {label.query_id: label for label in (chosen, tie_again)}
    assert self_agreement(queries, one).agreed == 0


def test_consistency_of_pairs() -> None:
    # (1 + √(2·0.82 − 1))/2 = 0.9: 0.9² + 0.1² = 0.82
    assert consistency(0.82) == pytest.approx(0.9)
    assert consistency(1.0) == 1.0
    assert consistency(0.4) == 0.5  # less than chance counts as chance


def test_repeats_of_different_k_are_weighed_by_their_chance() -> None:
    # K − 1 = 3/(1 + 1/3 + 1/3) = 1.8
    queries: dict[str, ComparisonQuery] = {}
    labels: dict[str, AnswerEvent] = {}
    for number, versions in enumerate([PAIR, (1,) * 4, (1,) * 4]):
        query = make_query(number, versions=versions)
        again = repetition(query, f"again-{number}", MOMENT)
        queries |= {query.query_id: query, again.query_id: again}
        labels |= {each.query_id: make_event(each, choice=1) for each in (query, again)}
    found = self_agreement(queries, labels)
    assert found.num_candidates == pytest.approx(2.8)
    assert found.consistency == pytest.approx(1.0)


def test_consistency_of_four() -> None:
    # 0.7² + 0.3²/3 = 0.52
    assert consistency(0.52, 4) == pytest.approx(0.7)


# --- peers ---------------------------------------------------------------------------------------


def test_each_is_compared_with_the_others() -> None:
    # q0: ann 0, bob 0, cid 1; q1: ann 2, bob 3; q2: ann alone.
    queries = {query.query_id: query for query in map(make_query, range(3))}
    labels = [
        make_event(make_query(0), "ann", choice=0),
        make_event(make_query(0), "bob", choice=0),
        make_event(make_query(0), "cid", choice=1),
        make_event(make_query(1), "ann", choice=2),
        make_event(make_query(1), "bob", choice=3),
        make_event(make_query(2), "ann", choice=0),
    ]
    found = peer_agreement(queries, labels)
    assert {name: (each.share, each.num_queries) for name, each in found.items()} == {
        "ann": (0.25, 2),  # (1/2 + 0)/2
        "bob": (0.25, 2),
        "cid": (0.0, 1),
    }


def test_gold_is_no_common_ground() -> None:
    gold = make_query(purpose="gold", gold_answer="q0-a")
    assert peer_agreement({"q0": gold}, [make_event(gold, "ann"), make_event(gold, "bob")]) == {}


# --- position ------------------------------------------------------------------------------------


def shown(
    count: int, num_first: int, versions: tuple[int, ...] = PAIR
) -> tuple[dict[str, Assignment], list[AnswerEvent]]:
    """`count` labels, of which `num_first` choose what was shown first."""
    queries = [make_query(number, versions=versions) for number in range(count)]
    assignments = [make_assignment(query) for query in queries]
    labels = [
        make_event(query, choice=0 if number < num_first else 1)
        for number, query in enumerate(queries)
    ]
    return {each.assignment_id: each for each in assignments}, labels


def test_of_pairs_it_is_the_sign_test() -> None:
    # (130 − 100)/(√200/2) = 4.242641
    found = position_bias(*shown(200, 130))
    assert found.z == pytest.approx(4.242641, abs=1e-6)
    assert found.num_labels == 200


def test_of_four_chance_is_a_quarter() -> None:
    # (40 − 25)/√(100·¼·¾) = 3.464102
    found = position_bias(*shown(100, 40, (1, 1, 1, 1)))
    assert found.z == pytest.approx(3.464102, abs=1e-6)


def test_ties_and_skips_have_no_position() -> None:
    assignments, labels = shown(2, 1)
    without = [replace(label, outcome="tie", choice=None) for label in labels]
    found = position_bias(assignments, without)
    assert (found.z, found.num_labels) == (0.0, 0)


# --- speed ---------------------------------------------------------------------------------------


def test_displayed_tokens_are_those_of_prompt_and_candidates() -> None:
    assert num_displayed_tokens(make_query()) == 3 + 4 * 3
    words = make_query(
        prompt_token_ids=(),
        candidates=tuple(replace(each, token_ids=()) for each in make_query().candidates),
    )
    assert num_displayed_tokens(words) == 3 + 4 * 3  # "the soup was", "text of q0-a"


def test_labels_faster_than_reading_are_counted() -> None:
    # 15 tokens at 20 a second: 0.75 s
    queries = {f"q{number}": make_query(number) for number in range(5)}
    assignments = {e.assignment_id: e for e in map(make_assignment, queries.values())}
    submits = [
        make_event(queries["q0"], active_ms=749),
        make_event(queries["q1"], active_ms=751),
        make_event(queries["q2"], received_at=1_000.5),  # leased at 1000
        make_event(queries["q3"], outcome="skip", active_ms=10),
        make_event(queries["q4"], received_at=1_000.5, active_ms=60_000),  # says a minute
    ]
    found = speed(queries, assignments, submits, tokens_per_s=20.0)
    assert (found.fast, found.num_labels) == (3, 4)
    assert found.share == pytest.approx(3 / 4)
