"""A fleet whose actors die when told to, each replaced by a new one as soon as it may start."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

from cluster.loops.fleet import RolloutFleet
from cluster.loops.turns import Turns
from cluster.supervision.config import RestartsConfig
from cluster.supervision.restarts import Restarts
from protocol.errors import ActorDied
from protocol.messages import PolicyVersion, Rollout, RolloutRequest
from tests.support.messages import make_request
from tests.support.parts import FakeActor

T = TypeVar("T")


class MortalActor(FakeActor):
    """Dies when told to, with every call that it is at; or gives no answer any more."""

    def __init__(self) -> None:
        super().__init__()
        self.served: list[tuple[str, int]] = []
        """Each rollout it gave, and the version it held."""
        self.loaded: list[int] = []
        self.fails_to_load: list[Exception] = []
        self.may_load = asyncio.Event()
        self.may_load.set()
        self.hangs = False
        self._died: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def die(self, error: Exception | None = None) -> None:
        self._died.set_exception(error or ActorDied("rollout actor rollout-0 died"))
        self._died.exception()  # also where nobody asks it for anything

    async def generate(self, requests: Sequence[RolloutRequest]) -> list[Rollout]:
        rollouts = await self._unless_dead(super().generate(requests))
        self.served += [(each.rollout_id, self.version) for each in rollouts]
        return rollouts

    async def load_policy(self, policy: PolicyVersion) -> float:
        await self.may_load.wait()
        if self.fails_to_load:
            raise self.fails_to_load.pop(0)
        difference = await self._unless_dead(super().load_policy(policy))
        self.loaded.append(policy.version)
        return difference

    async def rest(self) -> None:
        await self._unless_dead(super().rest())

    async def _unless_dead(self, call: Coroutine[Any, Any, T]) -> T:
        answer = asyncio.ensure_future(call)
        both: set[asyncio.Future[Any]] = {answer, self._died}
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        if self._died.done():
            answer.cancel()
            self._died.result()
        if self.hangs:
            await asyncio.Event().wait()
        return answer.result()


class World:
    """A fleet of actors that may die, each replaced by a new one as soon as it may start."""

    def __init__(
        self,
        count: int = 2,
        *,
        max_restarts: int = 10,
        timeout_s: float = 60.0,
        turns: Turns | None = None,
    ) -> None:
        self.actors = [MortalActor() for _ in range(count)]
        self.started: list[tuple[int, MortalActor]] = []
        """Replacements, with the index they were started for."""
        self.may_start = asyncio.Event()
        self.may_start.set()
        self.prepare: Callable[[MortalActor], None] = lambda _: None
        """Called with each replacement before it joins."""
        self.failures: list[Exception] = []
        """Raised by the starts to come, in turn."""
        self.told: list[tuple[str, str]] = []
        restarts = Restarts(
            RestartsConfig(max_restarts=max_restarts, first_pause_s=0.001),
            lambda part, cause: self.told.append((part, type(cause).__name__)),
        )
        self.ended: list[int] = []
        self.fleet = RolloutFleet(
            self.actors,
            2,
            replace=self._replace,
            end=self.ended.append,
            turns=turns,
            restarts=restarts,
            timeout_s=timeout_s,
        )

    async def _replace(self, index: int) -> MortalActor:
        await self.may_start.wait()
        if self.failures:
            raise self.failures.pop(0)
        actor = MortalActor()
        self.prepare(actor)
        self.started.append((index, actor))
        return actor

    def hold(self) -> None:
        for actor in self.actors:
            actor.may_answer.clear()

    def drawing(self, count: int, first: int = 0) -> asyncio.Task[list[Rollout]]:
        requests = [make_request(number) for number in range(first, first + count)]
        return asyncio.create_task(self.fleet.generate(requests))


async def until(condition: Callable[[], object]) -> None:
    """Let tasks go on until a condition holds."""
    while not condition():  # noqa: ASYNC110 -- of what the fleet does there is no event
        await asyncio.sleep(0.001)


async def settle() -> None:
    """Let every task go as far as it can."""
    for _ in range(20):
        await asyncio.sleep(0)
