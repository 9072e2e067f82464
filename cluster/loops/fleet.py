"""All rollout actors as one: work goes to the least loaded, new weights go to all.

Weights are pulled: each actor loads in its own time. Where the transport is a collective they are
pushed: the learner and all actors have to come, and each version is sent once.

An actor that dies, or that gives no answer for too long, leaves the fleet, and what it was drawing
is drawn by the others: the same requests, and so each response comes back once. Another is started
in its place and joins when it has proved the newest version. With all of them gone, work waits.

Where actors have their device in turns with the learner, whatever uses it waits for their turn, the
start of a replacement too. One that is lost is ended at once, and its memory is free.

    live ─▶ lost ─▶ being replaced ─▶ catching up ─▶ live
                     ▲      │               │
                     └──────┴── fell too ───┘     until it may not be started again: the run ends
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from typing import TypeVar

from cluster.loops.turns import Turns
from cluster.supervision.config import RestartsConfig
from cluster.supervision.deadlines import answered_within
from cluster.supervision.decision import Decision, decide
from cluster.supervision.restarts import Restarts
from label_queue.signals import Change
from protocol.errors import MissingError, PartFailed, WeightsGone
from protocol.messages import BroadcastWeights, PolicyVersion, Rollout, RolloutRequest
from protocol.ports import RolloutActor, WeightPusher

T = TypeVar("T")

Replace = Callable[[int], Awaitable[RolloutActor]]
"""Ends what is left of the actor of an index and starts another, which holds version 0."""
End = Callable[[int], None]
"""Ends what is left of the actor of an index; it may be dead, and may have been ended before."""


class _Seat:
    """One actor at one place of the fleet; its replacement has a seat of its own."""

    def __init__(self, index: int, actor: RolloutActor) -> None:
        self.index = index
        self.actor = actor
        self.is_live = True
        self.running = 0
        """Requests it is at."""
        self.version = 0
        """The newest version it has proved."""
        self.difference = 0.0
        """What its probe of that version differed by, nats."""


class RolloutFleet:
    """N rollout actors behind one door.

    Args:
        actors: The engines.
        requests_per_call: How many requests travel in one message: enough to make the message
            cheap, few enough to spread over the actors.
        pusher: The learner, where it pushes weights.
        replace: Puts another actor in the place of one that died; None: a death ends the run.
        end: Ends one that is lost, before another may be put in its place.
        turns: In which the actors have their device; None: it is theirs all the time.
        restarts: How often an actor may be replaced.
        timeout_s: After how long an actor that gives no answer is taken for dead.
    """

    def __init__(
        self,
        actors: Sequence[RolloutActor],
        requests_per_call: int,
        pusher: WeightPusher | None = None,
        *,
        replace: Replace | None = None,
        end: End | None = None,
        turns: Turns | None = None,
        restarts: Restarts | None = None,
        timeout_s: float = RestartsConfig().rollout_timeout_s,
    ) -> None:
        self._seats = [_Seat(index, actor) for index, actor in enumerate(actors)]
        self._pusher = pusher
        self._pushed = 0
        """The last policy version that was sent; the actors start with 0, which is ρ."""
        self._requests_per_call = requests_per_call
        self._replace = replace
        self._end: End = end or (lambda _: None)
        self._turn: AbstractAsyncContextManager[None] = (
            nullcontext() if turns is None else turns.join(self)
        )
        self._restarts = restarts or Restarts(RestartsConfig())
        self._timeout_s = timeout_s
        self._newest: PolicyVersion | None = None
        """What an actor must have proved before it takes requests."""
        self._held = 0
        """The version that every live actor has proved, or a newer one."""
        self._change = Change()
        self._replacing: set[asyncio.Task[None]] = set()
        self._failure: Exception | None = None
        """Why a lost actor will not come back: raised to whoever asks for anything."""

    async def generate(self, requests: Sequence[RolloutRequest]) -> list[Rollout]:
        """Draw one response a request, in order, spread over the actors.

        Raises:
            PartFailed: An actor died, and may not be replaced or was too often.
        """
        size = self._requests_per_call
        calls = [requests[i : i + size] for i in range(0, len(requests), size)]
        answers = await asyncio.gather(*(self._generate_on_one(call) for call in calls))
        return [rollout for answer in answers for rollout in answer]

    async def wait_for_version(self, version: int) -> None:
        """Return once every live actor holds a policy version, or a newer one."""
        while self._held < version:
            await self._change.wait()
            self._refuse_failed()

    async def load_policy(self, policy: PolicyVersion) -> float:
        """Have every actor take and prove new weights; return the largest probe difference.

        One that dies meanwhile counts no more: it loads them before it comes back. With none left
        this waits for the first that does.
        """
        self._newest = policy
        difference = await self._load(policy)
        self._held = max(self._held, policy.version)
        self._change.notify()
        return difference

    async def rest(self) -> None:
        """Have every actor give its device's memory back; see `protocol.ports.Rests`."""
        await asyncio.gather(*(self._rest_on(seat) for seat in self._live()))

    async def wake(self) -> None:
        """Have every actor take the device again, with the newest version that was told."""
        if (policy := self._newest) is not None:
            await asyncio.gather(*(self._load_on(seat, policy) for seat in self._live()))

    async def close(self) -> None:
        """Replace nobody any more. May be called twice."""
        tasks = list(self._replacing)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # ── work ─────────────────────────────────────────────────────────────────────────────────

    async def _generate_on_one(self, requests: Sequence[RolloutRequest]) -> list[Rollout]:
        while True:
            seat = await self._least_loaded()
            seat.running += len(requests)
            try:
                what = f"answer {len(requests)} rollout requests"
                async with self._turn:
                    if seat.is_live:
                        return await self._in_time(seat.actor.generate(requests), seat, what)
            except PartFailed as error:
                self._lose(seat, error)  # then another draws them
            finally:
                seat.running -= len(requests)

    async def _least_loaded(self) -> _Seat:
        while True:
            self._refuse_failed()
            if live := self._live():
                return min(live, key=lambda seat: seat.running)
            await self._change.wait()

    async def _load(self, policy: PolicyVersion) -> float:
        async def receive() -> float:
            async with self._turn:
                await asyncio.gather(*(self._load_on(seat, policy) for seat in self._live()))
            return await self._proved(policy.version)

        if not isinstance(policy.weights, BroadcastWeights) or policy.version <= self._pushed:
            return await receive()
        assert self._pusher is not None, "whoever pushes weights is known to the fleet"
        difference = await self._pusher.push(policy.version, receive)
        self._pushed = policy.version
        return difference

    async def _load_on(self, seat: _Seat, policy: PolicyVersion) -> None:
        try:
            await self._prove(seat, policy)
        except PartFailed as error:
            self._lose(seat, error)

    async def _rest_on(self, seat: _Seat) -> None:
        try:
            await self._in_time(seat.actor.rest(), seat, "give its device's memory back")
        except PartFailed as error:
            self._lose(seat, error)

    async def _prove(self, seat: _Seat, policy: PolicyVersion) -> None:
        """Have an actor load a version, and note that it has.

        Raises:
            WeightsGone: It is the newest, and nobody has it any more.
            MissingError: The learner has gone on, and has it no more.
        """
        what = f"load policy version {policy.version}"
        try:
            seat.difference = await self._in_time(seat.actor.load_policy(policy), seat, what)
        except MissingError as error:
            if policy is not self._newest:
                raise
            raise WeightsGone(f"{error}; it is the newest, so its learner is gone") from error
        seat.version = policy.version

    async def _proved(self, version: int) -> float:
        """Return the largest difference of the live actors' probes, once there is one."""
        while True:
            self._refuse_failed()
            if live := self._live():
                assert all(seat.version >= version for seat in live), "all that live have loaded it"
                return max(seat.difference for seat in live)
            await self._change.wait()

    async def _in_time(self, call: Awaitable[T], seat: _Seat, what: str) -> T:
        silent = (
            f"the controller waited {self._timeout_s:g} s for {_name(seat.index)} to {what}, "
            "and takes it for dead"
        )
        async with answered_within(self._timeout_s, silent):
            return await call

    def _live(self) -> list[_Seat]:
        return [seat for seat in self._seats if seat.is_live]

    def _refuse_failed(self) -> None:
        if self._failure is not None:
            raise self._failure

    # ── replacement ──────────────────────────────────────────────────────────────────────────

    def _lose(self, seat: _Seat, error: PartFailed) -> None:
        """Take an actor out and have it replaced; many calls may fail of one death.

        Raises:
            PartFailed: The error, where no other can take its place.
        """
        if self._newest is not None and isinstance(self._newest.weights, BroadcastWeights):
            raise type(error)(
                f"{error}; where the learner pushes weights an actor cannot be replaced, for its "
                "place in the collective is lost: start the run again, or choose another "
                "rollouts.weight_transport"
            ) from error
        if self._replace is None or decide(error) is not Decision.REPLACE:
            raise error
        if not seat.is_live:
            return
        seat.is_live = False
        self._end(seat.index)
        task = asyncio.create_task(self._bring_back(seat.index, error, self._replace))
        self._replacing.add(task)
        task.add_done_callback(self._replacing.discard)

    async def _bring_back(self, index: int, cause: Exception, replace: Replace) -> None:
        """Put another actor in the place of a lost one, as often as it takes and is allowed."""
        try:
            while True:
                await self._restarts.allow(_name(index), cause)
                try:
                    async with self._turn:
                        seat = _Seat(index, await replace(index))
                        await self._catch_up(seat)
                        self._seats[index] = seat  # so that it rests with the others
                    break
                except PartFailed as error:
                    self._end(index)
                    cause = error
        except Exception as error:  # noqa: BLE001 -- told to whoever asks the fleet for anything
            self._failure = error
        self._change.notify()

    async def _catch_up(self, seat: _Seat) -> None:
        """Have a new actor prove the newest version, until none has come meanwhile."""
        policy = None
        while policy is not self._newest:
            policy = self._newest
            assert policy is not None, "a version that was told is not forgotten"
            with suppress(MissingError):  # the learner has gone on, and published newer ones since
                await self._prove(seat, policy)


def _name(index: int) -> str:
    return f"rollout actor rollout-{index}"
