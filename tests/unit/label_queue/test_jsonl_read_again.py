"""A file that is read from its beginning again: what was read before has no effect."""

from __future__ import annotations

from pathlib import Path

import pytest

from label_queue.connectors.ingest import IngestCounts
from tests.support.labels import make_query
from tests.unit.label_queue.tail import NAME, Tail, line, shown


@pytest.fixture
async def tail(tmp_path: Path) -> Tail:
    tail = Tail(tmp_path)
    await tail.run.ask(*(make_query(i) for i in range(3)))
    return tail


async def test_a_line_that_comes_again_later_counts_again(tail: Tail) -> None:
    tail.write(line(0, "a"), line(0, "b"), line(0, "a"), line(0, "a"))
    assert await tail.turn() == IngestCounts(new=1, revised=2, duplicate=1)
    assert tail.choices() == {(f"{NAME}:ann", "q0"): shown("a")}
    tail.restart()
    tail.write(line(0, "b"), line(0, "a", id="17"), DELETED, line(0, "a", id="17"))
    assert await tail.turn() == IngestCounts(revised=3, retracted=1)
    assert tail.choices() == {(f"{NAME}:ann", "q0"): shown("a")}


async def test_what_was_deleted_stays_so_where_the_line_that_comes_again_has_a_time(
    tail: Tail,
) -> None:
    timed = line(0, "a", id="17", updated_at="2026-01-01T00:00:00Z")
    tail.write(timed, DELETED, timed)
    assert await tail.turn() == IngestCounts(new=1, retracted=1, stale=1)
    assert tail.choices() == {}


# --- a file that is read again -------------------------------------------------------------------

DELETED = {"id": "17", "deleted": True}
TIMED = (
    line(0, "a", id="17", updated_at="2026-01-01T00:00:00Z"),
    DELETED,
    line(0, "b", id="17", updated_at="2026-01-02T00:00:00Z"),
)
UNTIMED = (line(0, "a", id="17"), DELETED, line(0, "b", id="17"))
NEXT_DELETED = {(f"{NAME}:ann", "q0"): shown("b")}


@pytest.mark.parametrize("lines", [TIMED, UNTIMED], ids=["with times", "without"])
@pytest.mark.parametrize("restarts", [False, True], ids=["live", "after a restart"])
async def test_a_file_that_is_put_there_again_says_nothing_new(
    tail: Tail, lines: tuple[object, ...], restarts: bool
) -> None:
    tail.write(*lines)
    await tail.turn()
    num_events = len(tail.ledger.events())
    for _ in range(2):
        tail.replace(*lines)
        if restarts:
            tail.restart()
        assert await tail.turn() == IngestCounts(duplicate=3)
    assert tail.choices() == NEXT_DELETED
    assert len(tail.ledger.events()) == num_events
    # What was added to it is new, also where it says what an old line said.
    tail.replace(*lines, DELETED)
    assert await tail.turn() == IngestCounts(duplicate=3, retracted=1)
    assert tail.choices() == {}


async def test_a_copy_from_before_takes_nothing_back_and_goes_on_from_there(tail: Tail) -> None:
    tail.write(*UNTIMED)
    await tail.turn()
    tail.replace(*UNTIMED[:2])
    assert await tail.turn() == IngestCounts(duplicate=2)
    tail.restart()
    tail.write(UNTIMED[2], line(1))
    assert await tail.turn() == IngestCounts(duplicate=1, new=1)
    assert tail.choices() == NEXT_DELETED | {(f"{NAME}:ann", "q1"): shown("a", 1)}


async def test_of_a_file_that_was_changed_by_hand_the_changed_lines_are_new(tail: Tail) -> None:
    tail.write(line(2), *UNTIMED)
    await tail.turn()
    # A line is put between them, and then the head is cut off.
    tail.replace(line(2), line(1, "c"), *UNTIMED)
    assert await tail.turn() == IngestCounts(duplicate=4, new=1)
    tail.replace(*UNTIMED)
    assert await tail.turn() == IngestCounts(duplicate=3)
    assert tail.choices() == NEXT_DELETED | {
        (f"{NAME}:ann", "q1"): shown("c", 1),
        (f"{NAME}:ann", "q2"): shown("a", 2),
    }


async def test_what_follows_a_truncation_is_new_whatever_the_old_file_said(tail: Tail) -> None:
    tail.write(*UNTIMED)
    await tail.turn()
    tail.path.write_text("")
    tail.write(line(1), DELETED, line(0, "a", id="17"))
    assert await tail.turn() == IngestCounts(new=1, retracted=1, revised=1)
    assert tail.choices() == {
        (f"{NAME}:ann", "q0"): shown("a"),
        (f"{NAME}:ann", "q1"): shown("a", 1),
    }


async def test_the_next_file_of_a_rotation_is_new_and_is_itself_read_again(tail: Tail) -> None:
    tail.write(*UNTIMED)
    await tail.turn()
    tail.path.rename(tail.path.with_name("answers.jsonl.1"))
    tail.write(DELETED, line(0, "a", id="17"))
    assert await tail.turn() == IngestCounts(retracted=1, revised=1)
    for restarts in (False, True):
        if restarts:
            tail.restart()
        tail.replace(DELETED, line(0, "a", id="17"))
        assert await tail.turn() == IngestCounts(duplicate=2)
    tail.replace(DELETED, line(0, "a", id="17"), line(0, "b", id="17"))
    assert await tail.turn() == IngestCounts(duplicate=2, revised=1)
    assert tail.choices() == NEXT_DELETED


async def test_an_editor_that_keeps_the_old_file_beside_it_has_rotated_nothing(tail: Tail) -> None:
    tail.write(*UNTIMED)
    await tail.turn()
    tail.path.rename(tail.path.with_name("answers.jsonl~"))
    tail.write(*UNTIMED, line(1))
    assert await tail.turn() == IngestCounts(duplicate=3, new=1)
    assert tail.choices() == NEXT_DELETED | {(f"{NAME}:ann", "q1"): shown("a", 1)}


async def test_lines_that_could_not_be_written_down_were_not_read(tail: Tail) -> None:
    tail.write(*UNTIMED)
    await tail.turn()
    tail.replace(*UNTIMED, DELETED)
    tail.ledger.is_full = True
    await tail.turn()
    tail.ledger.is_full = False
    assert await tail.turn() == IngestCounts(duplicate=3, retracted=1)
    assert tail.choices() == {}
