"""A rollout worker over the fake engine, started."""

from __future__ import annotations

import pytest

from actors.config import RolloutConfig
from actors.worker import RolloutWorker
from tests.support.fake_engine import FakeEngine
from tests.support.labels import ManualClock
from tests.support.rollout_worker import RESPONSE


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(100.0)


@pytest.fixture
async def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
async def worker(engine: FakeEngine, clock: ManualClock) -> RolloutWorker:
    worker = RolloutWorker("rollout-0", engine, RESPONSE, RolloutConfig(), clock=clock)
    await worker.start()
    return worker
