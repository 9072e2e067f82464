from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence

import pytest

from label_queue.config import LabelsConfig, Mode
from label_queue.ledger.records import Record
from label_queue.ledger.sql import SqlLedger
from label_queue.ledger_place import LedgerPlace
from label_queue.queue import LabelQueue
from label_queue.schedule import LabelSchedule
from tests.support.labels import ManualClock, make_config
from tests.support.ledger_stores import LedgerStore
from tests.support.memory_ledger import MemoryLedger

MakeQueue = Callable[..., LabelQueue]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def ledger() -> MemoryLedger:
    return MemoryLedger()


@pytest.fixture
async def make_queue(clock: ManualClock, ledger: MemoryLedger) -> AsyncIterator[MakeQueue]:
    """Queues over one ledger; 100 episodes, and the small config unless given another."""
    made: list[LabelQueue] = []

    def make(config: LabelsConfig | None = None, mode: Mode = "online") -> LabelQueue:
        config = config or make_config()
        schedule = LabelSchedule.of(config, num_episodes=100, mode=mode)
        made.append(LabelQueue(ledger, config, schedule, run_id="run-1", seed=1, clock=clock))
        return made[-1]

    yield make
    for queue in made:
        await queue.close()


@pytest.fixture
def queue(make_queue: MakeQueue) -> LabelQueue:
    return make_queue()


MakeLedger = Callable[[Sequence[Record]], LedgerPlace]


@pytest.fixture
def make_ledger(ledger_store: LedgerStore) -> MakeLedger:
    """A ledger of run-1 with these records, on each of the databases it may lie in."""

    def make(records: Sequence[Record]) -> LedgerPlace:
        ledger = SqlLedger.open(ledger_store.place, "run-1")
        ledger.write(records)
        ledger.close()
        return ledger_store.place

    return make
