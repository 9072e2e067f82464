"""Estimators of quality: what must hold for any ledger."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations, product
from statistics import median

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from label_queue.fitting.retraining import make_request
from label_queue.folds.dataset import build_dataset, current_labels
from label_queue.folds.history import LabelHistory
from label_queue.folds.tallies import Tallies
from label_queue.quality.peers import PeerAgreement, peer_agreement, peer_answer
from label_queue.quality.preference import TRAINING
from label_queue.quality.reliability import reliabilities
from label_queue.quality.self_agreement import consistency
from label_queue.quality.standings import standings
from label_queue.quality.tally import Tally
from label_queue.quality.weights import capped, shares_of_counts
from label_queue.quality_config import DEFAULT_QUALITY, QualityConfig
from protocol.fits import Comparison, DatasetRules
from protocol.labels import (
    AnswerEvent,
    Appointed,
    Excluded,
    GoldEvent,
    GoldMade,
    GoldRetired,
    LabelChange,
    LabelerEvent,
    LabelEvent,
    OwnerEvent,
    Submitted,
)
from tests.support.assessed import assess
from tests.support.canonical_json import dataset_bytes
from tests.support.estimators import position_bias, self_agreement, speed, weight_shares
from tests.support.label_strategies import owner_events
from tests.support.labels import (
    make_assignment,
    make_event,
    make_exclusion,
    make_gold_event,
    make_query,
    make_retraction,
)
from tests.support.memory_ledger import MemoryLedger
from tests.support.simulated_labels import ADVERSARIAL, CAREFUL, RANDOM, simulate_comparisons

LABELERS = ("ann", "bob", "cid")
# Small alphabets: the tests reach their ends after few answers.
QUICK = QualityConfig(false_alarm=0.2, missed_alarm=0.3, drift_threshold=2.0)
QUERIES = {
    query.query_id: query
    for query in (
        *(make_query(n, versions=(1, 1)) for n in range(6)),
        *(
            make_query(
                n, versions=(1, 1), purpose="gold", gold_answer=f"q{n}-a", labels_before=n % 4
            )
            for n in range(6, 16)
        ),
        *(
            make_query(n, versions=(1, 1), purpose="repeat", repeat_of=f"q{n - 16}")
            for n in range(16, 20)
        ),
    )
}
ASSIGNMENTS = {
    each.assignment_id: each
    for each in (make_assignment(q, name) for q in QUERIES.values() for name in LABELERS)
}
LABELS = st.builds(
    lambda number, labeler, retracts, revision, outcome, choice: (
        make_retraction(QUERIES[f"q{number}"], labeler, revision=revision)
        if revision and retracts
        else make_event(
            QUERIES[f"q{number}"], labeler, revision=revision, outcome=outcome, choice=choice
        )
    ),
    st.integers(0, 19),
    st.sampled_from(LABELERS),
    st.booleans(),
    st.sampled_from([0, 0, 0, 1, 2]),
    st.sampled_from(["choice", "choice", "choice", "tie", "skip"]),
    st.integers(0, 1),
)
OWNER_EVENTS = owner_events(LABELERS, last_number=50, last_seq=30)
LEDGERS = st.lists(LABELS | LABELS | LABELS | OWNER_EVENTS, max_size=40).map(
    lambda events: _written(events)
)

GOLD_EVENTS = st.builds(
    lambda kind, number, name: make_gold_event(kind, f"q{name}", number=number),
    st.sampled_from([GoldMade, GoldRetired]),
    st.integers(0, 50),
    st.integers(6, 15),
)
LEDGERS_WITH_GOLD = st.lists(LABELS | LABELS | OWNER_EVENTS | GOLD_EVENTS, max_size=40).map(
    lambda events: _numbered(events)
)


def _numbered(events: Sequence[LabelEvent]) -> list[LabelEvent]:
    """Number events as a ledger does, leaving out changes of labels never given."""
    ledger = MemoryLedger()
    given: set[str] = set()
    for event in events:
        if isinstance(event, Submitted):
            given.add(event.label_id)
        if not isinstance(event, LabelChange) or event.label_id in given:
            ledger.write([event])
    return ledger.events()


def _written(events: Sequence[LabelerEvent]) -> list[LabelerEvent]:
    return [event for event in _numbered(events) if isinstance(event, LabelerEvent)]


@settings(deadline=None)
@given(LEDGERS_WITH_GOLD)
def test_a_training_set_never_changes_once_its_last_event_is_written(
    events: list[LabelEvent],
) -> None:
    for seq in range(len(events) + 1):
        then = build_dataset(QUERIES, events[:seq], seq, DatasetRules(), QUICK)
        now = build_dataset(QUERIES, events, seq, DatasetRules(), QUICK)
        assert dataset_bytes(then) == dataset_bytes(now)


@settings(deadline=None)
@given(LEDGERS_WITH_GOLD)
def test_what_counts_is_what_trains_event_by_event(events: list[LabelEvent]) -> None:
    history = LabelHistory(QUERIES, QUICK)
    for event in events:
        history.apply(event)
        dataset = build_dataset(QUERIES, history.events, event.seq, DatasetRules(), QUICK)
        assert history.num_preferences == len(dataset)
        standing = dict(history.standings.items())
        assert all(standing[c.labeler_id].trains(c.seq) for c in dataset)
        waiting = {name for name, each in standing.items() if each.state == "probation"}
        assert {c.labeler_id for c in dataset}.isdisjoint(waiting)


@settings(deadline=None)
@given(LEDGERS_WITH_GOLD)
def test_gold_that_is_retired_moves_nobody(events: list[LabelEvent]) -> None:
    folded = standings(QUERIES, [], QUICK)
    retired: set[str] = set()
    for event in events:
        known = dict(folded.items())
        folded.apply(event)
        if isinstance(event, GoldEvent):
            (retired.add if isinstance(event, GoldRetired) else retired.discard)(event.query_id)
            assert dict(folded.items()) == known
        elif isinstance(event, LabelChange) and event.query_id in retired:
            before = known.get(event.labeler_id)
            assert before is None or folded[event.labeler_id] == before


@settings(deadline=None)
@given(LEDGERS)
def test_only_the_owner_lifts_a_suspension(events: list[LabelerEvent]) -> None:
    before = {name: standings(QUERIES, [], QUICK)[name] for name in LABELERS}
    folded = standings(QUERIES, [], QUICK)
    for event in events:
        folded.apply(event)
        now = folded[event.labeler_id]
        if before[event.labeler_id].state in ("suspended", "excluded"):
            is_owners = isinstance(event, OwnerEvent)
            assert is_owners or now.state == before[event.labeler_id].state
        before[event.labeler_id] = now


@settings(deadline=None)
@given(LEDGERS, st.permutations(LABELERS))
def test_names_of_labelers_mean_nothing(events: list[LabelerEvent], names: list[str]) -> None:
    renamed = dict(zip(LABELERS, names, strict=True))
    other_events = [_renamed(event, renamed) for event in events]
    found = assess(QUERIES, ASSIGNMENTS, events, QUICK)
    others = assess(QUERIES, ASSIGNMENTS, other_events, QUICK)
    assert {renamed[name]: replace(each, labeler_id="") for name, each in found.items()} == {
        name: replace(each, labeler_id="") for name, each in others.items()
    }


@settings(deadline=None)
@given(LEDGERS)
def test_counts_kept_as_labels_come_are_those_of_the_labels_as_they_stand(
    events: list[LabelerEvent],
) -> None:
    history = LabelHistory(QUERIES, QUICK)
    tallies = Tallies(QUERIES, ASSIGNMENTS, history, QUICK)
    for number, event in enumerate(events, start=1):
        history.apply(event)
        tallies.apply(event)
        labels = list(current_labels(events[:number]).values())
        peers = peer_agreement(QUERIES, labels)
        _check_pairs(tallies, labels)
        for name, found in tallies.snapshot().items():
            own = [label for label in labels if label.labeler_id == name]
            firsts = [e for e in events[:number] if e.labeler_id == name]
            submits = [e for e in firsts if isinstance(e, Submitted)]
            assert found == Tally(
                num_labels=len(own),
                last_label_at=submits[-1].received_at if submits else None,
                of_speed=speed(QUERIES, ASSIGNMENTS, submits, QUICK.fast_tokens_per_s),
                of_position=position_bias(ASSIGNMENTS, own),
                of_self=self_agreement(QUERIES, {label.query_id: label for label in own}),
                of_peers=peers.get(name),
            )
        assert tallies.disputed(20) == _disputed(labels)
        for name, query_id in product(LABELERS, QUERIES):
            submits = [e for e in events[:number] if isinstance(e, Submitted)]
            own = [e for e in submits if (e.labeler_id, e.query_id) == (name, query_id)]
            assert tallies.first_answer(name, query_id) == next(iter(own), None)
            is_disputed = query_id in {given[0].query_id for given in _disputed(labels)}
            disputed = set(tallies.disputed_by(name)) & {each.seq for each in own}
            assert disputed == ({each.seq for each in own} if is_disputed else set())


def _disputed(labels: list[AnswerEvent]) -> list[list[AnswerEvent]]:
    """Answers to the queries on which people differ, newest first."""
    votes: dict[str, list[AnswerEvent]] = {}
    for label in labels:
        says = label.outcome == "tie" or label.choice is not None
        if says and QUERIES[label.query_id].purpose in TRAINING:
            votes.setdefault(label.query_id, []).append(label)
    disputed = [given for given in votes.values() if len({each.choice for each in given}) > 1]
    return sorted(disputed, key=lambda given: max(each.seq for each in given), reverse=True)


def _check_pairs(tallies: Tallies, labels: list[AnswerEvent]) -> None:
    """Assert that who agrees with whom is what the labels say, looked at anew."""
    said: dict[tuple[str, str], int] = {}
    for label in labels:
        answer = peer_answer(QUERIES[label.query_id], label)
        if answer is not None:
            said[label.labeler_id, label.query_id] = answer[1]
    for one, other in combinations(LABELERS, 2):
        both = [q for q in QUERIES if (one, q) in said and (other, q) in said]
        alike = sum(said[one, q] == said[other, q] for q in both)
        wanted = PeerAgreement(share=alike / len(both), num_queries=len(both)) if both else None
        assert tallies.pairs.between(one, other) == tallies.pairs.between(other, one) == wanted


def _renamed(event: LabelerEvent, names: dict[str, str]) -> LabelerEvent:
    labeler = names[event.labeler_id]
    if isinstance(event, OwnerEvent | Appointed):
        return replace(event, labeler_id=labeler)
    key = f"{event.query_id}/{labeler}"
    return replace(
        event,
        labeler_id=labeler,
        label_id=key,
        assignment_id=key,
        event_id=f"{key}:{event.revision}",
    )


@given(st.lists(st.integers(0, 1), min_size=1, max_size=60))
def test_swapping_what_is_shown_negates_the_position_of_pairs(choices: list[int]) -> None:
    queries = [make_query(n, versions=(1, 1)) for n in range(len(choices))]
    labels = [make_event(q, choice=c) for q, c in zip(queries, choices, strict=True)]
    shown = {a.assignment_id: a for a in map(make_assignment, queries)}
    swapped = {name: replace(a, shown_order=a.shown_order[::-1]) for name, a in shown.items()}
    there = position_bias(shown, labels)
    back = position_bias(swapped, labels)
    assert there.z == pytest.approx(-back.z)


@given(st.floats(0.5, 1.0), st.integers(2, 8))
def test_consistency_undoes_the_agreement_it_comes_from(p: float, k: int) -> None:
    share = p**2 + (1 - p) ** 2 / (k - 1)
    assert consistency(share, k) == pytest.approx(p, abs=1e-6)


MIXED = {"good-1": CAREFUL, "good-2": CAREFUL, "good-3": CAREFUL, "x": RANDOM, "y": ADVERSARIAL}
SIMULATED = st.integers(0, 20).map(lambda seed: simulate_comparisons(MIXED, 60, seed=seed))


@settings(deadline=None, max_examples=15)
@given(SIMULATED, st.randoms(use_true_random=False))
def test_reliabilities_heed_neither_order_nor_names_nor_numbers(
    comparisons: list[Comparison], rng: object
) -> None:
    names = sorted(MIXED)
    shuffled_names = list(names)
    rng.shuffle(shuffled_names)  # type: ignore[attr-defined]
    renamed = dict(zip(names, shuffled_names, strict=True))
    others = [replace(c, labeler_id=renamed[c.labeler_id], seq=1_000 + c.seq) for c in comparisons]
    rng.shuffle(others)  # type: ignore[attr-defined]
    found, again = reliabilities(comparisons), reliabilities(others)
    assert {renamed[name]: a for name, a in found.items()} == pytest.approx(again, abs=1e-3)
    assert all(0.02 <= a <= 1.0 for a in found.values())
    assert reliabilities(comparisons[::-1]) == found


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(1, 80), min_size=1, max_size=9), st.data())
def test_the_cap_holds_and_only_takes_away(counts: list[int], data: st.DataObject) -> None:
    [pattern] = simulate_comparisons({"ann": CAREFUL}, 1, overlap=0.0)
    comparisons = [
        replace(pattern, labeler_id=f"l{who}", query_id=f"{who}-{n}", seq=1 + n)
        for who, count in enumerate(counts)
        for n in range(count)
    ]
    levels = st.floats(0.02, 1.0)
    reliability = {f"l{who}": data.draw(levels) for who in range(len(counts))}
    config = DEFAULT_QUALITY.model_copy(update={"cap_min_labels": 1})
    left = capped(comparisons, reliability, config)
    assert [c for c in comparisons if c in set(left)] == list(left)
    given_by = Counter(comparison.labeler_id for comparison in comparisons)
    assert shares_of_counts(given_by, reliability, config) == weight_shares(left, reliability)
    trusted = [count for who, count in enumerate(counts) if reliability[f"l{who}"] >= 0.5]
    active = sum(2 * count >= median(trusted) for count in trusted)
    if active < 5:
        assert len(left) == len(comparisons)
        return
    # Whole labels: nobody is above the share by more than one of theirs.
    shares = weight_shares(left, reliability)
    total = sum(reliability[c.labeler_id] for c in left)
    largest = max(reliability.values())
    slack = len(counts) * largest / total
    assert max(shares.values()) <= max(0.2, 1.5 / active) + slack


@settings(deadline=None, max_examples=25)
@given(LEDGERS)
def test_an_excluded_labeler_leaves_no_trace_in_a_refit(events: list[LabelerEvent]) -> None:
    # Gold from the beginning on: then probation does not depend on others' labels.
    queries = {name: replace(query, labels_before=0) for name, query in QUERIES.items()}
    last = len(events) + 1
    exclusion = replace(make_exclusion("bob", number=99), seq=last, from_seq=0)
    with_bob = build_dataset(queries, [*events, exclusion], last, DatasetRules(), QUICK)
    ledger = MemoryLedger()
    kept = [event for event in events if event.labeler_id != "bob"]

    def renumbered(event: LabelerEvent) -> LabelerEvent:
        """The event as that ledger has it: its numbers count no event of bob's."""
        if not isinstance(event, Excluded) or event.from_seq is None:
            return event
        return replace(event, from_seq=1 + sum(each.seq < event.from_seq for each in kept))

    ledger.write([renumbered(event) for event in kept])
    never = ledger.events()
    without = build_dataset(queries, never, len(never), DatasetRules(), QUICK)

    def request(dataset: tuple[Comparison, ...], seq: int) -> object:
        made = make_request(
            "refit",
            dataset,
            seq=seq,
            exclusions_sha256="",
            replay=1.0,
            seed=1,
            quality=QUICK,
        )
        return made.labeler_weights, [replace(each, seq=0) for each in made.comparisons]

    assert request(with_bob, last) == request(without, len(never))
