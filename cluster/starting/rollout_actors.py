"""The rollout actors' processes: started, replaced one by one, and stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from actors.shell import RolloutActorShell
from cluster.starting.remote import RemoteActor
from cluster.supervision.restarts import Restarts
from protocol.errors import PartFailed
from protocol.remote import Remote

Spawn = Callable[[int, int], Remote[RolloutActorShell]]
"""(index, how often it was started before) → the process of a rollout actor, not yet started."""


class RolloutActors:
    """N places for actors, each with the process that holds it now.

    Args:
        count: N.
        spawn: Makes the process of one.
        restarts: How often one that dies while it starts may be started again.
    """

    def __init__(self, count: int, spawn: Spawn, restarts: Restarts) -> None:
        self._spawn = spawn
        self._restarts = restarts
        self._num_started = [0] * count
        self.actors = [self._new(index) for index in range(count)]
        """By index. One that died stays in its place until another has started."""

    async def start(self) -> None:
        """Start all engines; blocks for about half a minute."""
        await asyncio.gather(*(self._start(index) for index in range(len(self.actors))))

    def end(self, index: int) -> None:
        """End what is left of an actor, its engine too. May be called twice."""
        self.actors[index].kill()

    async def replace(self, index: int) -> RemoteActor:
        """End what is left of an actor and start another in its place, which holds version 0."""
        # Its engine dies with its process, and the place on the node is free.
        self.end(index)
        actor = self._new(index)
        try:
            await actor.start()
        except BaseException:
            actor.kill()
            raise
        self.actors[index] = actor
        return actor

    async def stop(self) -> None:
        """End all engines; those of dead actors have ended."""
        await asyncio.gather(*(_stop(actor) for actor in self.actors))

    async def _start(self, index: int) -> None:
        try:
            await self.actors[index].start()
        except PartFailed as error:
            await self._start_again(index, error)

    async def _start_again(self, index: int, cause: PartFailed) -> None:
        while True:
            await self._restarts.allow(self.actors[index].who, cause)
            try:
                await self.replace(index)
                return
            except PartFailed as error:
                cause = error

    def _new(self, index: int) -> RemoteActor:
        number = self._num_started[index]
        self._num_started[index] += 1
        return RemoteActor(self._spawn(index, number))


async def _stop(actor: RemoteActor) -> None:
    with suppress(PartFailed):
        await actor.stop()
