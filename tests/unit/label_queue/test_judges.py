"""Judges: asked validation queries alone, and never learned from, however their labels came."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest

from label_queue.config import LabelsConfig
from label_queue.fitting.from_ledger import read_fit
from label_queue.folds.dataset import build_dataset
from label_queue.folds.judged import JudgedQueries
from label_queue.folds.view import LedgerView
from label_queue.labeling.submissions import LabelSubmission
from label_queue.ledger.records import Record
from label_queue.quality.standings import standings
from label_queue.quality_config import DEFAULT_QUALITY, QualityConfig
from label_queue.queue import LabelQueue
from label_queue.shelf import Shelf
from protocol.errors import Forbidden, InputError, InvalidLabel, LabelConflict
from protocol.fits import DatasetRules
from protocol.labels import Appointed, ComparisonQuery, Submitted
from tests.support.labels import (
    answers,
    make_appointment,
    make_assignment,
    make_config,
    make_event,
    make_exclusion,
    make_query,
    make_reinstatement,
    make_retraction,
)
from tests.support.memory_ledger import MemoryLedger
from tests.support.messages import make_policy
from tests.unit.label_queue.conftest import MakeQueue
from tests.unit.label_queue.labeling import answer_orders, label, reference_rollouts, submit

TRAIN, OVERLAP = make_query(0), make_query(1, purpose="overlap", num_wanted=5)
VALIDATION = make_query(2, purpose="validation", versions=(0, 0, 1, 1))
REPEAT = make_query(3, purpose="repeat", repeat_of="q0")
QUERIES = (TRAIN, OVERLAP, VALIDATION, REPEAT)


def view_of(*records: Record) -> LedgerView:
    """A ledger of four queries, one of each purpose, all assigned to ann and dot."""
    ledger = MemoryLedger()
    assignments = [make_assignment(query, name) for query in QUERIES for name in ("ann", "dot")]
    ledger.write([*QUERIES, *assignments, *records])
    return LedgerView.of(ledger)


def learned_by(view: LedgerView) -> set[tuple[str, str]]:
    """Whose labels on which queries are in the training set."""
    dataset = build_dataset(view.queries, view.events, view.last_seq, DatasetRules())
    return {(each.labeler_id, each.query_id) for each in dataset}


def everything_from(name: str) -> list[Record]:
    """A label on each query, one of them revised and one taken back and given anew."""
    return [
        *(make_event(query, name) for query in QUERIES),
        make_event(TRAIN, name, revision=1, choice=2),
        make_retraction(OVERLAP, name),
        make_event(OVERLAP, name, revision=2),
    ]


async def judged(queue: LabelQueue) -> list[ComparisonQuery]:
    """Let dot in as a judge, and make queries of which half are for validation; return those."""
    await queue.policy_loop.add_reference(reference_rollouts(20))
    await queue.policy_loop.set_progress(0, make_policy(1))
    await queue.owner.add_labeler("ann")
    await queue.owner.add_labeler("dot", judges=True)
    await answer_orders(queue, version=1)
    return [query for query in queue.state.board.queries.values() if query.purpose == "validation"]


# --- what is learned ---------------------------------------------------------------------------


def test_nothing_that_a_judge_says_is_learned_whatever_the_query() -> None:
    view = view_of(make_appointment("dot"), *everything_from("dot"), *everything_from("ann"))
    purposes = {(name, query) for name, query in learned_by(view)}
    assert purposes == {("ann", "q0"), ("ann", "q1"), ("ann", "q2")}
    everything = DatasetRules(purposes=("train", "validation", "overlap", "repeat"))
    dataset = build_dataset(view.queries, view.events, view.last_seq, everything)
    assert {each.labeler_id for each in dataset} == {"ann"}


@pytest.mark.parametrize(
    "decisions",
    [
        [make_exclusion("dot", number=1), make_reinstatement("dot", number=2)],
        [make_reinstatement("dot", number=1)],
        [make_exclusion("dot", number=1, from_seq=10_000)],
        [make_appointment("dot", number=1)],
    ],
)
def test_no_decision_of_an_owner_lets_a_judge_s_labels_train(decisions: list[Record]) -> None:
    view = view_of(make_appointment("dot"), *everything_from("dot"), *decisions)
    assert learned_by(view) == set()


@pytest.mark.parametrize("given", [[make_event(VALIDATION, "dot")], everything_from("dot")])
def test_who_gave_a_label_before_is_no_judge(given: list[Record]) -> None:
    before, after = view_of(*given), view_of(*given, make_appointment("dot"))
    assert learned_by(after) == learned_by(before) != set()
    standing = standings(after.queries, after.events, DEFAULT_QUALITY)["dot"]
    assert not standing.is_judge
    assert not standing.judges(after.last_seq)


def test_a_label_that_was_taken_back_was_given_all_the_same() -> None:
    taken_back = [make_event(TRAIN, "dot"), make_retraction(TRAIN, "dot")]
    view = view_of(*taken_back, make_appointment("dot"), make_event(OVERLAP, "dot"))
    assert learned_by(view) == {("dot", "q1")}


def test_the_training_set_is_the_same_without_them_at_every_sequence_number() -> None:
    plain = answers([make_event(TRAIN, "ann"), make_event(VALIDATION, "ann", choice=2)])
    alone = view_of(*plain)
    beside = view_of(make_appointment("dot"), plain[0], *everything_from("dot"), plain[1])

    def sets(view: LedgerView) -> list[list[tuple[str, int | None]]]:
        found = []
        for seq in range(view.last_seq + 1):
            dataset = build_dataset(view.queries, view.events, seq, DatasetRules())
            names = [(each.query_id, each.choice) for each in dataset]
            found += [names] if names not in found else []
        return found

    assert sets(beside) == sets(alone)


def test_a_fit_from_the_ledger_alone_knows_them_too() -> None:
    read = partial(
        read_fit,
        quality=DEFAULT_QUALITY,
        until_seq=None,
        validation_share=0.0,
        num_reference=16,
        seed=1,
    )
    judging: list[Record] = [make_appointment("dot"), *everything_from("dot")]
    fit = read(view_of(make_event(TRAIN, "ann"), *judging))
    assert [each.labeler_id for each in fit.request.comparisons] == ["ann"]
    assert [name for name, _ in fit.request.labeler_weights] == ["ann"]
    # Responses of ρ stand in the validation query alone, which nobody else answered.
    assert fit.reference_sequences == ()
    assert len(read(view_of(make_event(VALIDATION, "ann"), *judging)).reference_sequences) == 2
    with pytest.raises(InputError, match="no label that trains"):
        read(view_of(*judging))


async def test_anchors_are_made_of_no_vote_of_theirs(
    ledger: MemoryLedger, make_queue: MakeQueue
) -> None:
    names = ["dot", "eve", "fay", "guy"]
    ledger.write([TRAIN, *(make_assignment(TRAIN, name) for name in names)])
    ledger.write([make_appointment(name, number=i) for i, name in enumerate(names)])
    ledger.write([make_event(TRAIN, name) for name in names])
    assert await make_queue().policy_loop.known_pairs(4, 4) == ()
    others = [f"{name}-who-trains" for name in names]
    ledger.write([make_assignment(TRAIN, name) for name in others])
    ledger.write([make_event(TRAIN, name) for name in others])
    assert len(await make_queue().policy_loop.known_pairs(4, 4)) == 1


# --- what they are asked -----------------------------------------------------------------------


async def test_judges_are_asked_validation_queries_alone_beside_who_labels_to_train(
    make_queue: MakeQueue,
) -> None:
    queue = make_queue(judged_by())
    validation = await judged(queue)
    slots = queue.state.board.open_slots
    await label(queue, len(validation), "dot")
    assert len(validation) == 7
    given = {event.query_id for event in queue.state.history.submits_of("dot")}
    assert given == {query.query_id for query in validation}
    assert await queue.people.next_task("dot", 0.0) is None
    # Neither a slot was filled by that, nor does a label more count toward l(n).
    assert queue.state.board.open_slots == slots
    assert queue.state.history.num_preferences == 0
    await label(queue, slots, "ann")
    asked = {event.query_id for event in queue.state.history.submits_of("ann")}
    assert given < asked
    assert queue.state.history.num_preferences == slots


async def test_no_fit_is_ordered_with_their_labels(make_queue: MakeQueue) -> None:
    queue = make_queue(judged_by())
    await label(queue, len(await judged(queue)), "dot")
    await label(queue, 14, "ann")
    request = await queue.policy_loop.next_refit()
    assert {each.labeler_id for each in request.comparisons} == {"ann"}
    assert {name for name, _ in request.labeler_weights} == {"ann"}
    assert request.labels_used == 14


async def test_neither_gold_nor_repeats_are_asked_of_judges(make_queue: MakeQueue) -> None:
    queue = make_queue(judged_by(quality=QualityConfig(repeat_share=0.7, repeat_after=1)))
    await label(queue, len(await judged(queue)), "dot")
    asked = [queue.state.board.queries[e.query_id] for e in queue.state.history.submits_of("dot")]
    assert {query.purpose for query in asked} == {"validation"}
    assert queue.state.board.num_made["repeat"] == 0


async def test_judges_are_not_counted_among_who_labels_to_train(make_queue: MakeQueue) -> None:
    queue = make_queue(make_config(validation_share=0.4, overlap_share=0.4, overlap_labelers=5))
    await judged(queue)
    assert queue.state.num_labelers == 1
    overlap = [q for q in queue.state.board.queries.values() if q.purpose == "overlap"]
    assert {query.num_wanted for query in overlap} == {1}
    await label(queue, 1, "dot")
    assert queue.state.active_labelers(1_000.0) == set()


async def test_what_judges_say_makes_no_query_older(make_queue: MakeQueue) -> None:
    """One refit interval of newer labels ends a query: of labels that a refit could learn."""
    queue = make_queue(judged_by(refits=6))
    validation = await judged(queue)
    await label(queue, 14, "ann")
    await queue.policy_loop.set_progress(60, make_policy(2))
    await answer_orders(queue, version=2)
    opened = queue.state.board.open_slots
    await queue.owner.add_labeler("eve", judges=True)
    for name in ("dot", "eve"):
        await label(queue, len(validation), name)
    assert queue.state.history.num_judged == 2 * len(validation) > 30 / 6
    await queue.policy_loop.next_orders(0.0)
    assert queue.state.board.open_slots == opened > 0
    newest = list(queue.state.board.queries.values())[-1]
    assert newest.labels_before == 14


async def test_judges_go_on_when_no_label_is_wanted_any_more(make_queue: MakeQueue) -> None:
    queue = make_queue(judged_by(total=14, initial=14, refits=1))
    validation = await judged(queue)
    await label(queue, 14, "ann")
    assert await queue.people.next_task("ann", 0.0) is None
    await label(queue, len(validation), "dot")


async def test_a_task_from_before_the_appointment_goes_to_others_and_takes_no_answer(
    make_queue: MakeQueue,
) -> None:
    queue = make_queue()
    await queue.owner.add_labeler("dot")
    await answer_orders(queue)
    task = await queue.people.next_task("dot", 0.0)
    assert task is not None
    free = queue.state.board.open_queries(0.0)[0]
    await queue.owner.admit("dot", judges=True)
    assert (await queue.people.held_tasks("dot")).tasks == ()
    again = await queue.people.next_task("ann", 0.0)
    assert again is not None
    assert queue.state.board.assignments[again.assignment_id].query_id == free.query_id
    choice = task.candidates[0].candidate_id
    submission = LabelSubmission(assignment_id=task.assignment_id, outcome="choice", choice=choice)
    refusal = await submit(queue, submission, "dot")
    assert isinstance(refusal, Forbidden)
    assert refusal.field == "assignment_id"
    assert queue.state.history.num_submitted == 0


async def test_a_queue_that_starts_again_knows_judges_and_what_they_hold(
    make_queue: MakeQueue,
) -> None:
    queue = make_queue(judged_by())
    validation = await judged(queue)
    await label(queue, 1, "dot")
    held = await queue.people.next_task("dot", 0.0)
    assert held is not None
    again = make_queue(judged_by())
    assert again.state.judges == {"dot"}
    assert again.state.board.open_slots == queue.state.board.open_slots
    assert [each.assignment_id for each in (await again.people.held_tasks("dot")).tasks] == [
        held.assignment_id
    ]
    await label(again, len(validation) - 2, "dot")
    assert await again.people.next_task("dot", 0.0) is None


def test_a_query_that_fewest_judged_comes_first_and_of_those_the_newest() -> None:
    queries: Shelf[ComparisonQuery] = Shelf()
    board = JudgedQueries(queries)
    made = [
        replace(VALIDATION, query_id=f"v{i}", created_at=1_000.0 + i, expires_at=2_000.0 + i)
        for i in range(3)
    ]
    for query in (*made, replace(TRAIN, query_id="t")):
        queries.add(query.query_id, query)
        board.add(query)

    def pick(judge: str, now: float = 1_500.0) -> str | None:
        entry = board.pick(judge, now)
        return None if entry is None else entry.query.query_id

    def answer(query: ComparisonQuery, judge: str) -> None:
        event = make_event(query, judge)
        assert isinstance(event, Submitted)
        board.answered(event)

    assert pick("dot") == "v2"
    answer(made[2], "dot")
    assert pick("dot") == "v1"
    assert pick("eve") == "v1"
    answer(made[1], "eve")
    answer(made[0], "eve")
    assert pick("eve") == "v2"
    assert pick("dot") == "v1"
    # What has expired is asked of nobody, and let go of once a newer query comes.
    assert pick("dot", now=2_001.5) is None
    assert pick("dot", now=2_000.5) == "v1"
    late = replace(VALIDATION, query_id="late", created_at=2_001.5, expires_at=3_000.0)
    queries.add("late", late)
    board.add(late)
    assert pick("eve", now=2_001.6) == "late"
    assert board.entry("v0") is None


# --- who can be one ----------------------------------------------------------------------------


async def test_only_who_has_given_no_label_is_let_in_as_a_judge(queue: LabelQueue) -> None:
    await queue.owner.add_labeler("ann")
    await answer_orders(queue)
    await label(queue, 1, "ann")
    with pytest.raises(LabelConflict, match="'ann' has given a label already") as refused:
        await queue.owner.admit("ann", judges=True)
    assert refused.value.field == "judges"
    assert not queue.state.judges
    with pytest.raises(InvalidLabel, match="only a labeler judges"):
        await queue.owner.admit("olga", "owner", judges=True)


async def test_who_judges_stays_a_judge_and_is_appointed_once(
    queue: LabelQueue, ledger: MemoryLedger
) -> None:
    for _ in range(2):
        await queue.owner.admit("dot", judges=True)
    await queue.owner.admit("dot")
    assert [type(event) for event in ledger.events()] == [Appointed]

    def state() -> str:
        return queue.state.history.standings["dot"].state

    assert state() == "judge"
    await queue.owner.exclude("dot", 0, "clicks")
    assert state() == "excluded"
    changes = await queue.owner.reinstate("dot", "looked again")
    assert (changes.labels_leaving, changes.forces_refit) == (0, False)
    assert state() == "judge"


async def test_excluding_a_judge_moves_nothing_that_trains(make_queue: MakeQueue) -> None:
    queue = make_queue(judged_by())
    await label(queue, len(await judged(queue)), "dot")
    await label(queue, 4, "ann")
    for from_seq in (0, 6):
        changes = await queue.owner.exclude("dot", from_seq, "clicks")
        assert (changes.labels_leaving, changes.weight_share, changes.forces_refit) == (
            0,
            0.0,
            False,
        )
    assert queue.state.history.num_preferences == 4


def judged_by(**changes: object) -> LabelsConfig:
    """A small run of which half of the queries are for validation."""
    return make_config(**{"validation_share": 0.5, **changes})
