"""A fit that finds no room on the disk is done again when there is some; else the run ends."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from cluster.loops import fitting as module
from protocol.errors import DiskFull
from protocol.fits import FitRequest, RewardVersion
from tests.support.controller_world import World
from tests.support.parts import FakeRewardTrainer


class FullFor(FakeRewardTrainer):
    """Finds no room for its first fits."""

    def __init__(self, num_failures: int) -> None:
        super().__init__()
        self.num_failures = num_failures

    async def fit(self, request: FitRequest) -> RewardVersion:
        if self.num_failures:
            self.num_failures -= 1
            raise DiskFull("reward/v000001: cannot be written: its disk is full")
        return await super().fit(request)


def say_of_room(world: World, said: Sequence[str]) -> None:
    answers = iter(said)

    async def want_of_room() -> str:
        return next(answers, "")

    world.labels.want_of_room = want_of_room  # type: ignore[method-assign]


async def run(world: World) -> None:
    controller = world.controller()
    await controller.draw_reference()
    await asyncio.wait_for(controller.run(), 60)


async def test_a_fit_without_room_waits_for_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ROOM_POLL_S", 0.0)
    world.trainer = FullFor(4)
    say_of_room(world, ["free space", "free space", "", "free space", ""] * 4)
    await run(world)
    assert world.progress[-1] == world.config.run.episodes
    assert [reward.version for reward in world.people.rewards][:2] == [1, 2]


async def test_a_disk_that_has_room_and_takes_nothing_ends_the_run(world: World) -> None:
    world.trainer = FullFor(100)
    say_of_room(world, [])
    with pytest.raises(ExceptionGroup) as failure:
        await run(world)
    assert failure.group_contains(DiskFull)
    assert world.trainer.num_failures == 100 - module.MOST_UNWRITTEN
