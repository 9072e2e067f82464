"""All rollout actors as one: work goes to the least loaded, new weights go to all.

Weights are pulled: each actor loads in its own time. Where the transport is a collective they are
pushed: the learner and all actors have to come, and each version is sent once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from label_queue.signals import Change
from protocol.messages import BroadcastWeights, PolicyVersion, Rollout, RolloutRequest
from protocol.ports import RolloutActor, WeightPusher


class RolloutFleet:
    """N rollout actors behind one door.

    Args:
        actors: The engines.
        requests_per_call: How many requests travel in one message: enough to make the message
            cheap, few enough to spread over the actors.
        pusher: The learner, where it pushes weights.
    """

    def __init__(
        self,
        actors: Sequence[RolloutActor],
        requests_per_call: int,
        pusher: WeightPusher | None = None,
    ) -> None:
        self._actors = actors
        self._pusher = pusher
        self._pushed = 0
        """The last policy version that was sent; the actors start with 0, which is ρ."""
        self._requests_per_call = requests_per_call
        self._running = [0] * len(actors)
        self._held = 0
        """The version that every actor has proved, or a newer one."""
        self._change = Change()

    async def generate(self, requests: Sequence[RolloutRequest]) -> list[Rollout]:
        """Draw one response a request, in order, spread over the actors."""
        size = self._requests_per_call
        calls = [requests[i : i + size] for i in range(0, len(requests), size)]
        answers = await asyncio.gather(*(self._generate_on_one(call) for call in calls))
        return [rollout for answer in answers for rollout in answer]

    async def wait_for_version(self, version: int) -> None:
        """Return once every actor holds a policy version, or a newer one."""
        while self._held < version:
            await self._change.wait()

    async def load_policy(self, policy: PolicyVersion) -> float:
        """Have every actor take and prove new weights; return the largest probe difference."""
        difference = await self._load(policy)
        self._held = max(self._held, policy.version)
        self._change.notify()
        return difference

    async def _load(self, policy: PolicyVersion) -> float:
        async def receive() -> float:
            return max(await asyncio.gather(*(actor.load_policy(policy) for actor in self._actors)))

        if not isinstance(policy.weights, BroadcastWeights) or policy.version <= self._pushed:
            return await receive()
        assert self._pusher is not None, "whoever pushes weights is known to the fleet"
        difference = await self._pusher.push(policy.version, receive)
        self._pushed = policy.version
        return difference

    async def _generate_on_one(self, requests: Sequence[RolloutRequest]) -> list[Rollout]:
        index = min(range(len(self._actors)), key=self._running.__getitem__)
        self._running[index] += len(requests)
        try:
            return await self._actors[index].generate(requests)
        finally:
            self._running[index] -= len(requests)
