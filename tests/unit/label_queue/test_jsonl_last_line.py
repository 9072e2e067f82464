"""The last line of a file that was rotated away, which may never have got its line break."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from label_queue.connectors import jsonl_tail
from label_queue.connectors.ingest import IngestCounts
from label_queue.ledger.records import DeadLetter
from tests.support.labels import answers, make_query
from tests.unit.label_queue.tail import NAME, Tail, line, shown


@pytest.fixture
async def tail(tmp_path: Path) -> Tail:
    tail = Tail(tmp_path)
    await tail.run.ask(*(make_query(i) for i in range(4)))
    return tail


def rotate(tail: Tail, number: int = 1) -> Path:
    """Give the file a name beside it; its writer may have it open still."""
    path = tail.path.with_name(f"answers.jsonl.{number}")
    tail.path.rename(path)
    return path


def append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


async def test_it_is_read_before_the_next_file_and_once(tail: Tail) -> None:
    tail.write(line(0))
    tail.write(line(0, "b"), end="")
    assert await tail.turn() == IngestCounts(new=1)
    rotate(tail)
    # Its writer may not have heard of it yet.
    for _ in range(3):
        assert await tail.turn() == IngestCounts()
    tail.path.touch()
    assert await tail.turn() == IngestCounts()
    tail.write(line(0, "c"))
    assert await tail.turn() == IngestCounts()
    assert await tail.turn() == IngestCounts(revised=2)
    assert tail.choices() == {(f"{NAME}:ann", "q0"): shown("c")}
    for _ in range(2):
        tail.restart()
        assert await tail.turn() == IngestCounts()
    tail.write(line(1))
    assert await tail.turn() == IngestCounts(new=1)


async def test_half_a_line_is_refused_and_holds_up_nothing(tail: Tail) -> None:
    tail.write(line(0))
    append(tail.path, json.dumps(line(1))[:-5])
    await tail.turn()
    rotate(tail)
    tail.write(line(2))
    await tail.turn()
    assert await tail.turn() == IngestCounts(new=1, refused=1)
    [letter] = tail.ledger.read(DeadLetter)
    assert letter.message.startswith("not JSON")
    assert letter.payload == json.dumps(line(1))[:-5]


@pytest.mark.parametrize("is_ended", [True, False])
async def test_who_is_at_it_still_is_waited_for(tail: Tail, is_ended: bool) -> None:
    tail.write(line(0))
    text = json.dumps(line(1))
    append(tail.path, text[:10])
    await tail.turn()
    rotated = rotate(tail)
    tail.write(line(2))
    for start, end in ((10, 20), (20, 30)):
        assert await tail.turn() == IngestCounts()
        append(rotated, text[start:end])
    assert await tail.turn() == IngestCounts()
    append(rotated, text[30:] + ("\n" if is_ended else ""))
    if not is_ended:
        assert await tail.turn() == IngestCounts()
    assert await tail.turn() == IngestCounts(new=2)
    assert tail.choices().keys() == {(f"{NAME}:ann", f"q{n}") for n in range(3)}


async def test_what_was_ended_just_before_the_next_file_was_begun_is_not_passed_over(
    tail: Tail, monkeypatch: pytest.MonkeyPatch
) -> None:
    tail.write(line(0))
    tail.write(line(1), end="")
    await tail.turn()
    rotated = rotate(tail)
    read_after = jsonl_tail._read_after

    def read(path: Path, *given: object, **named: object) -> object:
        if path == tail.path and not path.exists():
            # The old file was looked at just before.
            append(rotated, "\n" + json.dumps(line(2)) + "\n")
            tail.write(line(3))
        return read_after(path, *given, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(jsonl_tail, "_read_after", read)
    assert await tail.turn() == IngestCounts(new=3)


async def test_a_restart_or_a_full_disk_between_loses_and_doubles_nothing(tail: Tail) -> None:
    tail.write(line(0))
    tail.write(line(1), end="")
    await tail.turn()
    rotate(tail)
    tail.write(line(2))
    tail.restart()
    assert await tail.turn() == IngestCounts()
    tail.ledger.is_full = True
    await tail.turn()
    tail.ledger.is_full = False
    assert len(tail.choices()) == 1
    tail.restart()
    assert await tail.turn() == IngestCounts()
    assert await tail.turn() == IngestCounts(new=2)
    assert len(tail.ledger.events()) == 3


@pytest.mark.parametrize("seen", ["from its first line", "after one"])
async def test_files_of_which_it_is_the_only_line_are_read_in_their_turn(
    tail: Tail, seen: str
) -> None:
    tail.write(line(3), end="\n" if seen == "after one" else "")
    await tail.turn()
    for number in (3, 2):
        os.utime(rotate(tail, number), ns=(10 - number, 10 - number))
        tail.write(line(0, "a" if number == 3 else "b"), end="")
    os.utime(rotate(tail), ns=(9, 9))
    tail.write(line(0, "c"))
    for _ in range(5):
        await tail.turn()
    assert tail.choices() == {
        (f"{NAME}:ann", "q3"): shown("a", 3),
        (f"{NAME}:ann", "q0"): shown("c"),
    }
    said = answers(tail.ledger.events())
    revisions = [each.choice for each in said if each.query_id == "q0"]
    assert revisions == [shown(letter) for letter in "abc"]


async def test_what_an_editor_wrote_anew_has_the_last_word(tail: Tail) -> None:
    tail.write(line(0))
    tail.write(line(1), end="")
    await tail.turn()
    tail.path.rename(tail.path.with_name("answers.jsonl.bak"))
    tail.write(line(0), line(2))
    for _ in range(3):
        await tail.turn()
    assert tail.choices().keys() == {(f"{NAME}:ann", "q0"), (f"{NAME}:ann", "q2")}
