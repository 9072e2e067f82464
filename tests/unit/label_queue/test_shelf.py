"""Records of which only the newest are in memory, counted by what is read from disk."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest

from label_queue.config import LabelsConfig
from label_queue.ledger.lookup import Lookup
from label_queue.quality.purposes import purpose_of
from label_queue.queue import LabelQueue
from label_queue.schedule import LabelSchedule
from label_queue.shelf import Shelf, each_of, names_since, read_some
from protocol.errors import ResourceError
from protocol.labels import ComparisonQuery
from tests.support.labels import ManualClock, make_assignment, make_config, make_event, make_query
from tests.support.memory_ledger import MemoryLedger
from tests.unit.label_queue.labeling import answer_orders, label

QUERIES = {f"q{n}": make_query(n, purpose="overlap" if n % 2 else "train") for n in range(10)}


class Disk:
    """Ten queries, and what was read of them."""

    def __init__(self) -> None:
        self.reads: list[list[str]] = []

    def find(self, names: Sequence[str]) -> dict[str, ComparisonQuery]:
        self.reads.append(list(names))
        return {name: QUERIES[name] for name in names}


@pytest.fixture
def disk() -> Disk:
    return Disk()


@pytest.fixture
def shelf(disk: Disk) -> Shelf[ComparisonQuery]:
    shelf = Shelf(disk.find, sort=lambda query: query.purpose, most_held=3)
    for name, query in QUERIES.items():
        shelf.add(name, query)
    return shelf


def test_those_added_last_are_in_memory_and_no_more(
    disk: Disk, shelf: Shelf[ComparisonQuery]
) -> None:
    assert len(shelf) == 10
    assert shelf.num_held == 3
    assert [shelf[f"q{n}"] for n in (7, 8, 9)] == [QUERIES[f"q{n}"] for n in (7, 8, 9)]
    assert disk.reads == []


def test_what_was_read_is_held_in_the_place_of_what_was_held_longest(
    disk: Disk, shelf: Shelf[ComparisonQuery]
) -> None:
    assert shelf["q0"] is shelf["q0"] is QUERIES["q0"]
    assert disk.reads == [["q0"]]
    assert shelf["q7"] == QUERIES["q7"]
    assert disk.reads == [["q0"], ["q7"]]
    assert shelf.num_held == 3
    with pytest.raises(KeyError):
        shelf["nothing"]


def test_what_sort_they_are_is_known_without_reading(
    disk: Disk, shelf: Shelf[ComparisonQuery]
) -> None:
    shelf.add("q10", make_query(10, purpose="gold"))
    known = [purpose_of(shelf, name) for name in ("q0", "q1", "q9", "q10")]
    assert known == ["train", "overlap", "overlap", "gold"]
    assert purpose_of(shelf.up_to_now(), "q0") == purpose_of(QUERIES, "q0")
    assert disk.reads == []


def test_who_goes_through_all_reads_them_together_and_leaves_the_newest_in_memory(
    disk: Disk, shelf: Shelf[ComparisonQuery]
) -> None:
    assert list(each_of(shelf.up_to_now())) == list(QUERIES.values())
    assert disk.reads == [[f"q{n}" for n in range(7)]]
    assert list(each_of(QUERIES, ["q4", "q0"])) == [QUERIES["q4"], QUERIES["q0"]]
    assert read_some(shelf, ["q9", "q8"]) == {name: QUERIES[name] for name in ("q9", "q8")}
    assert len(disk.reads) == 1


def test_what_will_be_asked_for_is_read_together(disk: Disk, shelf: Shelf[ComparisonQuery]) -> None:
    shelf.hold(["q1", "q2", "q1"])
    assert (shelf["q1"], shelf["q2"]) == (QUERIES["q1"], QUERIES["q2"])
    assert disk.reads == [["q1", "q2"]]


def test_the_newer_ones_are_named_without_the_older(shelf: Shelf[ComparisonQuery]) -> None:
    then = shelf.up_to_now()
    shelf.add("q10", make_query(10))
    assert names_since(shelf, 8) == ["q8", "q9", "q10"]
    assert names_since(then, 8) == ["q8", "q9"] == names_since(QUERIES, 8)
    assert names_since(then, 10) == []
    assert (len(then), list(then)) == (10, list(QUERIES))


def test_where_nothing_can_be_found_all_is_held() -> None:
    shelf: Shelf[ComparisonQuery] = Shelf(most_held=3)
    for name, query in QUERIES.items():
        shelf.add(name, query)
    assert shelf.num_held == 10
    assert dict(shelf) == QUERIES


class CutOff(MemoryLedger):
    """A ledger whose connection is lost at the first question."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.times = times

    def find(self, kind: object, keys: object) -> dict[str, object]:
        self.times -= 1
        if self.times >= 0:
            raise ResourceError("the server has gone")
        return {"q1": QUERIES["q1"]}


def test_a_lost_connection_is_made_anew_once() -> None:
    assert Lookup(CutOff(1)).find(ComparisonQuery, ["q1"]) == {"q1": QUERIES["q1"]}
    with pytest.raises(ResourceError, match="gone"):
        Lookup(CutOff(2)).find(ComparisonQuery, ["q1"])


class Watched(MemoryLedger):
    """A ledger that counts the queries read from it one by one or some at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.finds: list[int] = []

    def find(self, kind: object, keys: Sequence[str]) -> dict[str, object]:  # type: ignore[override]
        self.finds.append(len(keys))
        return super().find(kind, keys)


def started(ledger: MemoryLedger, config: LabelsConfig) -> LabelQueue:
    schedule = LabelSchedule.of(config, num_episodes=100, mode="online")
    return LabelQueue(ledger, config, schedule, run_id="run-1", seed=1, clock=ManualClock())


async def test_a_start_holds_the_newest_queries_and_an_answer_reads_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("label_queue.shelf.MOST_HELD", 600)
    monkeypatch.setattr("label_queue.folds.event_log.MOST_HELD", 550)
    ledger, config = Watched(), make_config(total=4_000, initial=1_250)
    for number in range(1_200):
        query = make_query(number)
        ledger.write([query, make_assignment(query), make_event(query)])
    queue = started(ledger, config)
    queue.take_in((), ())
    board, events = queue.state.board, queue.state.history.events
    assert board.queries.num_held == board.assignments.num_held == 600
    assert (len(events), len(board.assignments)) == (1_200, 1_200)
    assert 550 <= events.num_held <= 1_100
    # Each was at hand when what people said of it was taken in.
    assert ledger.finds == []
    await answer_orders(queue)
    await label(queue, 5)
    assert ledger.finds == []
    await queue.close()


class Beside(MemoryLedger):
    """A ledger that is read over connections of their own, of which it knows which are open."""

    def __init__(self, of: Beside | None = None) -> None:
        super().__init__()
        self.readers: list[Beside] = []
        self.is_open = True
        self.is_read = threading.Event()
        self.goes_on = threading.Event()
        self._of = of or self

    def beside(self) -> Beside:
        self.readers.append(Beside(self))
        return self.readers[-1]

    def find(self, kind: object, keys: object) -> dict[str, object]:
        assert self.is_open
        self._of.is_read.set()
        self._of.goes_on.wait()
        return {}

    def close(self) -> None:
        self.is_open = False


def test_nobody_waits_for_anothers_question_and_no_connection_outlives_the_close() -> None:
    ledger = Beside()
    lookup = Lookup(ledger)
    slow = threading.Thread(target=lookup.find, args=(ComparisonQuery, ["q1"]))
    slow.start()
    assert ledger.is_read.wait(10.0)
    asked = threading.Thread(target=lookup.at, args=(ComparisonQuery, []))
    asked.start()
    asked.join(10.0)
    assert not asked.is_alive()
    assert [each.is_open for each in ledger.readers] == [True, True]
    lookup.close()
    assert [each.is_open for each in ledger.readers] == [True, False]
    ledger.goes_on.set()
    slow.join()
    assert [each.is_open for each in ledger.readers] == [False, False]
    lookup.at(ComparisonQuery, [])
    lookup.at(ComparisonQuery, [])
    assert len(ledger.readers) == 3
    lookup.close()
    assert not any(each.is_open for each in ledger.readers)
