"""Outside answers: each takes effect once, and the tool's last word stands."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace

import pytest

from label_queue.config import IntakeConfig
from label_queue.connector_config import JsonlConfig
from label_queue.connectors.ingest import IngestCounts
from label_queue.connectors.port import Annotation, Answer, Deletion, Sweep, Unreadable
from label_queue.connectors.translation import outside_task
from label_queue.ledger.records import ConnectorOffset, DeadLetter
from label_queue.ledger.tables import STREAMS
from protocol.errors import ResourceError
from protocol.labels import Assignment, Revised, Submitted
from tests.support.labels import ManualClock, changes, make_exclusion, make_query
from tests.support.memory_ledger import MemoryLedger
from tests.support.outside import OutsideRun

TOOL = "jsonl"
CONFIG = JsonlConfig.model_validate(
    {"kind": "jsonl", "path": "unused.jsonl", "labelers": {"9": "ann"}}
)

Restart = Callable[[], OutsideRun]


def said(
    letter: str = "a", *, id: str = "1", at: int = 1, user: str = "7", query: int = 0
) -> Annotation:
    """An answer; `at` is its time of update, a minute of one day."""
    return Annotation(
        external_id=id,
        updated_at=f"2026-01-01T00:{at:02d}:00.000000Z" if at else "",
        payload_sha256=f"sha-{letter}",
        user=user,
        query_id=f"q{query}",
        answer=Answer(outcome="choice", choice=letter),
    )


def follow(*answers: Annotation | Deletion | Unreadable) -> Sweep:
    return Sweep(answers=answers)


def whole(*answers: Annotation | Unreadable) -> Sweep:
    return Sweep(answers=answers, is_complete=True)


@pytest.fixture
def ledger() -> MemoryLedger:
    return MemoryLedger()


@pytest.fixture
def restart(ledger: MemoryLedger) -> Restart:
    return lambda: OutsideRun(ledger, [CONFIG], ManualClock(), IntakeConfig(max_dead_letters=3))


@pytest.fixture
async def run(restart: Restart) -> OutsideRun:
    run = restart()
    await run.ask(make_query(0), make_query(1))
    return run


def in_order(answer: Annotation | Deletion, part: str = "0") -> Annotation | Deletion:
    """The same as a line of a source that has an order."""
    digest = hashlib.sha256(repr(answer).encode()).hexdigest()
    return replace(answer, part=part, payload_sha256=digest)


def shown(letter: str, query: int = 0) -> str:
    """The candidate that the tool shows under a letter."""
    return outside_task(TOOL, make_query(query)).order["abcd".index(letter)]


def choices(run: OutsideRun) -> dict[tuple[str, str], str | None]:
    return {label: event.choice for label, event in run.current_labels().items()}


async def test_an_answer_becomes_an_assignment_and_a_label(run: OutsideRun) -> None:
    counts = await run.labels.ingest(TOOL, follow(said("b")))

    assert counts == IngestCounts(new=1)
    [assignment] = run.ledger.assignments()
    assert assignment.labeler_id == "jsonl:7"
    assert assignment.shown_order == outside_task(TOOL, make_query(0)).order
    [event] = run.ledger.events()
    assert isinstance(event, Submitted)
    assert (event.revision, event.choice) == (0, shown("b"))
    assert event.assignment_id == event.label_id == assignment.assignment_id
    assert (event.source.system, event.source.external_id) == (TOOL, "1")
    assert event.event_id == "jsonl/1@2026-01-01T00:01:00.000000Z#sha-b"


async def test_a_user_may_be_a_labeler_of_ours_with_an_assignment(run: OutsideRun) -> None:
    leased = Assignment(
        assignment_id="from-the-page",
        query_id="q0",
        labeler_id="ann",
        shown_order=tuple(c.candidate_id for c in make_query(0).candidates),
        order_seed=1,
        created_at=1.0,
        lease_until=2.0,
        page_version="1",
        guideline_version="1",
    )
    await run.commits.write([leased])

    await run.labels.ingest(TOOL, follow(said("c", user="9")))

    assert run.ledger.assignments() == [leased]
    # The letter is one of the tool's order, not of the page's.
    assert choices(run) == {("ann", "q0"): shown("c")}


async def test_the_same_answer_again_has_no_effect(run: OutsideRun) -> None:
    sweep = follow(said("a"), said("a"))
    assert await run.labels.ingest(TOOL, sweep) == IngestCounts(new=1, duplicate=1)
    assert await run.labels.ingest(TOOL, sweep) == IngestCounts(duplicate=2)
    assert len(run.ledger.events()) == 1


async def test_a_change_is_a_revision_and_an_older_one_is_stale(run: OutsideRun) -> None:
    await run.labels.ingest(TOOL, follow(said("a", at=1)))
    await run.labels.ingest(TOOL, follow(said("b", at=3)))

    assert await run.labels.ingest(TOOL, follow(said("c", at=2))) == IngestCounts(stale=1)

    assert choices(run) == {("jsonl:7", "q0"): shown("b")}
    assert [(type(event), event.revision) for event in changes(run.ledger.events())] == [
        (Submitted, 0),
        (Revised, 1),
    ]


async def test_without_times_the_later_is_newer_and_one_sent_twice_is_one(run: OutsideRun) -> None:
    await run.labels.ingest(TOOL, follow(said("a", at=0), said("b", at=0), said("a", at=0)))
    assert choices(run) == {("jsonl:7", "q0"): shown("b")}


async def test_where_what_comes_twice_was_said_twice_the_later_is_newer(run: OutsideRun) -> None:
    sweep = replace(follow(said("a", at=0)), says_again=True)
    for expected in (IngestCounts(new=1), IngestCounts(duplicate=1)):
        assert await run.labels.ingest(TOOL, sweep) == expected
    await run.labels.ingest(TOOL, follow(said("b", at=0)))
    for expected in (IngestCounts(revised=1), IngestCounts(duplicate=1)):
        assert await run.labels.ingest(TOOL, sweep) == expected
    assert choices(run) == {("jsonl:7", "q0"): shown("a")}


async def test_a_part_that_is_begun_again_says_nothing_new_and_others_go_on(
    run: OutsideRun, restart: Restart
) -> None:
    deletion = Deletion(external_id="1")
    answers = [in_order(each) for each in (said("a"), deletion, said("b", at=2))]
    await run.labels.ingest(TOOL, replace(follow(*answers), offset="3"))
    for each in (run, restart()):
        again = replace(follow(*answers), begun=frozenset({"0"}), offset="3")
        assert await each.labels.ingest(TOOL, again) == IngestCounts(duplicate=3)
        assert choices(each) == {("jsonl:7", "q0"): shown("b")}
    counts = await run.labels.ingest(TOOL, replace(follow(in_order(deletion, "1")), offset="4"))
    assert counts == IngestCounts(retracted=1)


async def test_a_beginning_that_brought_nothing_yet_is_known_after_a_restart(
    run: OutsideRun, restart: Restart
) -> None:
    answers = [in_order(each) for each in (said("a"), Deletion(external_id="1"), said("b", at=2))]
    await run.labels.ingest(TOOL, replace(follow(*answers), offset="3"))
    await run.labels.ingest(TOOL, Sweep(begun=frozenset({"0"}), offset="0"))
    again = restart()
    counts = await again.labels.ingest(TOOL, replace(follow(*answers), offset="3"))
    assert counts == IngestCounts(duplicate=3)


async def test_a_ledger_of_before_does_not_say_which_lines_were_read(
    ledger: MemoryLedger, restart: Restart
) -> None:
    body = b'{"connector": "jsonl", "offset": "3", "at": 1.0}'
    ledger.write([STREAMS[ConnectorOffset].adapter.validate_json(body)])
    run = restart()
    await run.ask(make_query(0))
    sweep = replace(follow(in_order(said("a"))), begun=frozenset({"0"}), offset="1")
    assert await run.labels.ingest(TOOL, sweep) == IngestCounts(new=1)
    assert await run.labels.ingest(TOOL, sweep) == IngestCounts(duplicate=1)


async def test_a_deletion_needs_no_more_than_the_id(run: OutsideRun) -> None:
    await run.labels.ingest(TOOL, follow(said("a", at=1), said("b", at=2)))

    counts = await run.labels.ingest(TOOL, follow(Deletion(external_id="1")))

    assert counts == IngestCounts(retracted=1)
    assert choices(run) == {}
    assert run.state.history.num_preferences == 0
    assert await run.labels.ingest(TOOL, follow(Deletion(external_id="1"))) == IngestCounts(
        duplicate=1
    )
    assert await run.labels.ingest(TOOL, follow(Deletion(external_id="no such"))) == IngestCounts(
        duplicate=1
    )


async def test_what_was_deleted_comes_back_only_as_something_newer(run: OutsideRun) -> None:
    await run.labels.ingest(TOOL, follow(said("a", at=2), Deletion(external_id="1")))

    late = follow(said("b", at=1), said("c", at=2))
    assert await run.labels.ingest(TOOL, late) == IngestCounts(stale=2)
    assert choices(run) == {}

    assert await run.labels.ingest(TOOL, follow(said("b", at=3))) == IngestCounts(revised=1)
    assert choices(run) == {("jsonl:7", "q0"): shown("b")}


async def test_deleting_an_answer_that_another_replaced_changes_nothing(run: OutsideRun) -> None:
    await run.labels.ingest(TOOL, follow(said("a", id="1", at=1), said("b", id="2", at=2)))
    counts = await run.labels.ingest(TOOL, follow(Deletion(external_id="1")))
    assert counts == IngestCounts(stale=1)
    assert choices(run) == {("jsonl:7", "q0"): shown("b")}


async def test_a_complete_sweep_is_the_truth(run: OutsideRun) -> None:
    gone, kept = said("a", id="1"), said("b", id="2", query=1)
    await run.labels.ingest(TOOL, follow(gone, kept))

    counts = await run.labels.ingest(TOOL, whole(kept, said("d", id="3", user="8")))

    assert counts == IngestCounts(new=1, retracted=1, duplicate=1)
    assert choices(run) == {("jsonl:7", "q1"): shown("b", 1), ("jsonl:8", "q0"): shown("d")}


async def test_of_two_answers_of_one_labeler_the_newest_stands_and_then_the_other(
    run: OutsideRun,
) -> None:
    old, new = said("a", id="1", at=1), said("b", id="2", at=2)
    await run.labels.ingest(TOOL, whole(new, old))
    assert choices(run) == {("jsonl:7", "q0"): shown("b")}
    await run.labels.ingest(TOOL, whole(old))
    assert choices(run) == {("jsonl:7", "q0"): shown("a")}
    # Both came before: they stand again all the same, and once.
    await run.labels.ingest(TOOL, whole(old, new))
    await run.labels.ingest(TOOL, whole(old, new))
    assert choices(run) == {("jsonl:7", "q0"): shown("b")}
    assert [event.revision for event in changes(run.ledger.events())] == [0, 1, 2]


async def test_a_copy_that_lags_behind_does_not_take_a_change_back(run: OutsideRun) -> None:
    await run.labels.ingest(TOOL, whole(said("b", at=2)))
    assert await run.labels.ingest(TOOL, whole(said("a", at=1))) == IngestCounts(stale=1)
    assert choices(run) == {("jsonl:7", "q0"): shown("b")}


async def test_an_answer_that_became_unreadable_does_not_take_the_label_back(
    run: OutsideRun,
) -> None:
    await run.labels.ingest(TOOL, whole(said("a")))
    broken = Unreadable(
        external_id="1", payload_sha256="x", field="result", message="nothing", payload="{}"
    )
    assert await run.labels.ingest(TOOL, whole(broken)) == IngestCounts(refused=1)
    assert choices(run) == {("jsonl:7", "q0"): shown("a")}


@pytest.mark.parametrize(
    ("annotation", "field"),
    [
        (said("a", query=5), "query_id"),
        (said("e"), "choice"),
        (replace(said(), answer=Answer(outcome="ranking", ranking=("a",))), "outcome"),
        (replace(said(), answer=Answer(outcome="choice")), "choice"),
        (replace(said(), answer=Answer(outcome="choice", choice="a", strength=9)), "strength"),
        (
            replace(
                said(), answer=Answer(outcome="choice", choice="a", spans=(("a", 3, 99, "bad"),))
            ),
            "spans.0",
        ),
        (
            replace(
                said(), answer=Answer(outcome="choice", choice="a", spans=(("z", 0, 1, "bad"),))
            ),
            "spans.0",
        ),
    ],
)
async def test_what_is_no_answer_is_refused_once_with_a_copy(
    run: OutsideRun, annotation: Annotation, field: str
) -> None:
    assert await run.labels.ingest(TOOL, whole(annotation)) == IngestCounts(refused=1)
    assert await run.labels.ingest(TOOL, whole(annotation)) == IngestCounts(duplicate=1)
    [letter] = run.ledger.read(DeadLetter)
    assert (letter.labeler_id, letter.field) == (TOOL, field)
    assert run.ledger.assignments() == []


async def test_copies_of_refused_answers_are_bounded(run: OutsideRun) -> None:
    for number in range(10):
        await run.labels.ingest(TOOL, follow(said("z", id=str(number))))
    assert len(run.ledger.read(DeadLetter)) == 3


async def test_gold_cannot_be_answered_from_outside(run: OutsideRun) -> None:
    await run.ask(make_query(2, purpose="gold"))
    assert await run.labels.ingest(TOOL, follow(said(query=2))) == IngestCounts(refused=1)
    assert [task.query.query_id for task in run.labels.tasks(TOOL)] == ["q0", "q1"]


async def test_an_excluded_labeler_changes_nothing_and_takes_nothing_back(run: OutsideRun) -> None:
    await run.labels.ingest(TOOL, follow(said("a", id="1"), said("a", id="2", query=1)))
    before = choices(run)
    (labeler,) = {name for name, _ in before}
    await run.commits.write([make_exclusion(labeler)])

    counts = await run.labels.ingest(
        TOOL, follow(said("b", id="1", at=2), Deletion(external_id="2"))
    )
    assert counts == IngestCounts(refused=2)
    assert await run.labels.ingest(TOOL, whole()) == IngestCounts(refused=1, duplicate=1)
    assert await run.labels.ingest(TOOL, whole()) == IngestCounts(duplicate=2)
    assert choices(run) == before


async def test_labels_and_offset_are_one_transaction(
    run: OutsideRun, ledger: MemoryLedger, restart: Restart
) -> None:
    sweep = replace(follow(said("a")), offset="17")
    ledger.is_full = True
    with pytest.raises(ResourceError):
        await run.labels.ingest(TOOL, sweep)
    ledger.is_full = False
    assert run.labels.offset(TOOL) is None

    again = restart()
    assert await again.labels.ingest(TOOL, sweep) == IngestCounts(new=1)
    assert again.labels.offset(TOOL) == "17"
    await again.labels.ingest(TOOL, sweep)
    assert [offset.offset for offset in ledger.read(ConnectorOffset)] == ["17"]

    after = restart()
    assert after.labels.offset(TOOL) == "17"
    assert await after.labels.ingest(TOOL, sweep) == IngestCounts(duplicate=1)
    counts = await after.labels.ingest(TOOL, follow(Deletion(external_id="1")))
    assert counts == IngestCounts(retracted=1)


async def test_an_outside_task_shows_the_texts_in_an_order_of_its_own() -> None:
    query = make_query(0)
    task = outside_task(TOOL, query)
    assert sorted(task.order) == sorted(c.candidate_id for c in query.candidates)
    assert task.texts == {
        letter: f"text of {name}" for letter, name in zip("abcd", task.order, strict=True)
    }
    orders = {outside_task(f"tool{i}", query).order for i in range(20)}
    assert len(orders) > 10


async def test_of_what_comes_at_once_no_more_is_kept_than_may_be(run: OutsideRun) -> None:
    odd = [
        Unreadable(external_id=f"{n}", payload_sha256="x", field="", message="odd", payload="{")
        for n in range(50)
    ]
    assert (await run.labels.ingest(TOOL, follow(*odd))).refused == 50
    assert len(run.ledger.read(DeadLetter)) == 3
