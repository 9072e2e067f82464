"""A label queue of which all is asked twice, and the records that tell what a call wrote."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, get_args

import pytest

from label_queue.connectors.outposts import Outposts
from label_queue.ledger.records import Record, stream_of
from label_queue.quality_config import GoldConfig, QualityConfig
from label_queue.queue import LabelQueue
from label_queue.schedule import LabelSchedule
from label_queue.sides.owner import OwnerSide
from label_queue.sides.people import PeopleSide
from label_queue.sides.policy_loop import PolicyLoopSide
from tests.support.labels import ManualClock, make_config
from tests.support.memory_ledger import MemoryLedger
from tests.support.people_contract import OIDC
from tests.unit.label_queue.labeling import answer_orders


class World:
    """A label queue over a ledger in memory, with an owner, a labeler and tasks."""

    def __init__(self) -> None:
        config = make_config(
            total=80,
            validation_share=0.25,
            quality=QualityConfig(repeat_share=0.0, gold=GoldConfig()),
            intake=make_config().intake.model_copy(update={"oidc": OIDC}),
        )
        self.clock = ManualClock()
        self.ledger = MemoryLedger()
        schedule = LabelSchedule.of(config, num_episodes=100, mode="online")
        self.queue = LabelQueue(
            self.ledger, config, schedule, run_id="run-1", seed=1, clock=self.clock
        )
        self.outposts = Outposts.of(self.queue, config, run_id="run-1")

    @property
    def loop(self) -> PolicyLoopSide:
        return self.queue.policy_loop

    @property
    def people(self) -> PeopleSide:
        return self.queue.people

    @property
    def owner(self) -> OwnerSide:
        return self.queue.owner

    def records(self) -> list[Record]:
        """All that is on disk."""
        kinds = {stream_of(kind): None for kind in get_args(Record)}
        return [record for kind in kinds for record in self.ledger.read(kind)]

    async def twice(self, make: Callable[[], Awaitable[Any]]) -> Any:
        """Call twice, time going on between; assert that the second call wrote nothing.

        Return both answers.
        """
        first = await make()
        written = self.records()
        self.clock.now += 1
        second = await make()
        assert self.records() == written
        return first, second

    async def same(self, make: Callable[[], Awaitable[Any]]) -> Any:
        """Call twice, and assert that the answer was the same, too; return it."""
        first, second = await self.twice(make)
        assert first == second
        return first

    async def fill(self) -> None:
        await self.owner.add_labeler("ann")
        await answer_orders(self.queue)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    yield world
    await world.outposts.close()
    await world.queue.close()
