"""How outside tools' labels stand, with most events on disk: none is looked up there one by one."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace

import pytest

from label_queue.connectors.known_answers import READ_AT_ONCE, KnownAnswers
from label_queue.folds.history import LabelHistory
from label_queue.quality_config import DEFAULT_QUALITY
from protocol.labels import LabelChange, LabelEvent, Source
from tests.support.labels import make_event, make_query, make_retraction

NUM_LABELS = 1_200
QUERIES = {f"q{number}": make_query(number) for number in range(NUM_LABELS)}


class Disk:
    """All events, and in which threads how many were read."""

    def __init__(self) -> None:
        self.events: list[LabelEvent] = []
        self.reads: list[tuple[threading.Thread, int]] = []

    def read(self, seqs: Sequence[int]) -> list[LabelEvent]:
        self.reads.append((threading.current_thread(), len(seqs)))
        return [self.events[seq - 1] for seq in seqs]


@pytest.fixture
def disk() -> Disk:
    return Disk()


@pytest.fixture
def history(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> LabelHistory:
    """Every other label is of a tool."""
    monkeypatch.setattr("label_queue.folds.event_log.MOST_HELD", 10)
    history = LabelHistory(QUERIES, DEFAULT_QUALITY, disk.read)
    for number, query in enumerate(QUERIES.values()):
        source = Source(system="tool" if number % 2 else "page", external_id=f"x{number}")
        take(disk, history, replace(make_event(query), source=source))
    return history


def take(disk: Disk, history: LabelHistory, event: LabelChange) -> None:
    disk.events.append(replace(event, seq=len(disk.events) + 1))
    history.apply(disk.events[-1])


async def test_a_tools_answers_are_read_together_off_the_event_loop(
    disk: Disk, history: LabelHistory
) -> None:
    known = KnownAnswers(history, ["tool", "another"])
    await known.catch_up()
    assert [count for _, count in disk.reads] == [READ_AT_ONCE, 90]
    assert threading.main_thread() not in {thread for thread, _ in disk.reads}
    disk.reads.clear()
    await known.catch_up()
    assert known.label_of("tool", "x7") == "q7/ann"
    assert known.label_of("tool", "x8") is known.label_of("another", "x7") is None
    assert known.labels_of("tool").keys() == {f"q{n}" for n in range(1, NUM_LABELS, 2)}
    assert all(known.latest(f"q{n}/ann") is not None for n in range(1, NUM_LABELS, 2))
    assert disk.reads == []


async def test_what_somebody_makes_of_one_here_is_seen(disk: Disk, history: LabelHistory) -> None:
    known = KnownAnswers(history, ["tool"])
    await known.catch_up()
    before = known.latest("q7/ann")
    assert before is not None
    take(disk, history, make_retraction(QUERIES["q7"], "ann", revision=1))
    assert known.latest("q7/ann") == known.latest("q7/ann") == disk.events[-1] != before
    assert known.latest("nobody's") is None
    assert known.latest("q2/ann") == disk.events[2]
