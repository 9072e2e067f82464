"""A collective in plain asyncio: nobody gets on before all have come, and who is alone waits on."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from protocol.messages import BroadcastWeights, PolicyVersion
from tests.support.messages import make_policy
from tests.support.parts import FakeActor

PUSHED = BroadcastWeights(transfers={}, num_bytes=0)


def pushed_policy(version: int) -> PolicyVersion:
    return replace(make_policy(version), weights=PUSHED)


class Collective:
    """Of `size` members; `log` tells in which order they came and left."""

    def __init__(self, size: int) -> None:
        self.log: list[str] = []
        self._meeting = asyncio.Barrier(size)

    async def meet(self, member: str, version: int) -> None:
        self.log.append(f"{member} comes with {version}")
        await self._meeting.wait()
        self.log.append(f"{member} has {version}")


class CollectiveActor(FakeActor):
    """A rollout actor that takes every version it does not have yet in the collective."""

    def __init__(self, collective: Collective, name: str) -> None:
        super().__init__()
        self.failure: Exception | None = None
        self._collective = collective
        self._name = name

    async def load_policy(self, policy: PolicyVersion) -> float:
        if self.failure is not None:
            raise self.failure
        if policy.version > self.version:
            await self._collective.meet(self._name, policy.version)
        return await super().load_policy(policy)


class CollectiveRank:
    """The handle of a learner rank: one call at a time, each a coroutine, as on Ray."""

    def __init__(self, collective: Collective) -> None:
        self.stepping = asyncio.Event()
        self.finish_step = asyncio.Event()
        self._collective = collective
        self._one_call = asyncio.Lock()

    def __getattr__(self, method: str) -> Any:
        return _Remote(getattr(self, f"_{method}"))

    async def _send(self, version: int) -> None:
        async with self._one_call:
            await self._collective.meet("learner", version)

    async def _step(self, batch: object) -> object:
        async with self._one_call:
            self._collective.log.append("step begins")
            self.stepping.set()
            await self.finish_step.wait()
            self._collective.log.append("step ends")
            return batch


class _Remote:
    def __init__(self, method: Any) -> None:
        self.remote = method
