"""Gate and buffer joined as the controller joins them, under any order of events."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from cluster.loops.experience import ExperienceBuffer
from cluster.loops.staleness import StalenessGate
from protocol.messages import Rollout, ScoredRollout
from tests.support.messages import (
    make_policy,
    make_request,
    make_rollout,
    make_scored,
    with_version,
)

# Turns of the event loop in which everything that can go on has gone on.
TURNS = 12


class StalenessMachine(RuleBasedStateMachine):
    """Every rollout is in flight, unscored, waiting in the buffer, trained on, or released.

    One admission and one `take` at most wait at a time, as in the controller's loops; both stay
    waiting from rule to rule until the gate or the buffer lets them go.
    """

    @initialize(batch_size=st.integers(1, 4), max_policy_lag=st.integers(0, 3))
    def start(self, batch_size: int, max_policy_lag: int) -> None:
        self.loop = asyncio.new_event_loop()
        self.batch_size = batch_size
        self.max_policy_lag = max_policy_lag
        self.gate = StalenessGate(batch_size, max_policy_lag)
        self.buffer = ExperienceBuffer(max_policy_lag, self.gate.release)
        self.admitting: asyncio.Task[int] | None = None
        self.taking: asyncio.Task[list[ScoredRollout]] | None = None
        self.is_scorable = True

        self.version = 0
        self.left_behind: set[int] = set()
        self.num_started = 0
        self.in_flight: list[tuple[int, int]] = []  # number, version it was started under
        self.unscored: list[Rollout] = []
        self.waiting: list[ScoredRollout] = []
        self.num_trained = 0
        self.num_dropped = 0

    def teardown(self) -> None:
        if not hasattr(self, "loop"):
            return
        for task in (self.admitting, self.taking):
            if task is not None:
                task.cancel()
        self.go_on()
        self.loop.close()

    @rule(most=st.integers(1, 6))
    def admit(self, most: int) -> None:
        if self.admitting is None:
            self.admitting = self.loop.create_task(self.gate.admit(most))
        self.settle()

    @rule(
        index=st.integers(0, 100),
        versions=st.tuples(*[st.integers(0, 100)] * 4),
    )
    def finish(self, index: int, versions: tuple[int, ...]) -> None:
        """One rollout ends; its tokens came under versions from its start's to the newest."""
        if self.in_flight:
            number, oldest = self.in_flight.pop(index % len(self.in_flight))
            drawn = sorted(oldest + version % (self.version - oldest + 1) for version in versions)
            self.unscored.append(with_version(make_rollout(make_request(number)), *drawn))

    @rule(count=st.integers(1, 6))
    def score(self, count: int) -> None:
        scored = [make_scored(rollout) for rollout in self.unscored[:count]]
        del self.unscored[:count]
        self.waiting += scored
        self.run(self.buffer.add(scored))
        self.settle()

    @rule(count=st.integers(1, 6))
    def fail_to_score(self, count: int) -> None:
        dropped = self.unscored[:count]
        del self.unscored[:count]
        self.run(self.gate.release(len(dropped)))
        self.settle()

    @rule(is_scorable=st.booleans())
    def take(self, is_scorable: bool) -> None:
        """The learner asks for a batch; it may turn out that it cannot be scored anew."""
        if self.taking is None:
            self.is_scorable = is_scorable
            self.taking = self.loop.create_task(self.buffer.take(self.batch_size, self.version))
        self.settle()

    @rule(late=st.integers(0, 3))
    def announce(self, late: int) -> None:
        """The actors hold the newest version, or only one of those before it."""
        self.run(self.gate.announce(max(self.gate.version, self.version - late)))
        self.settle()

    @rule(num_behind=st.integers(1, 3), num_steps=st.integers(1, 3))
    def overtake(self, num_behind: int, num_steps: int) -> None:
        """The oldest in flight are slow, and steps are taken without them: so they go stale."""
        for _ in range(num_steps):
            self.announce(late=0)
            self.admit(most=6)
            for index in reversed(range(num_behind, len(self.in_flight))):
                self.finish(index, versions=(0, 0, 0, 1))
            self.score(count=len(self.unscored))
            self.take(is_scorable=True)

    @rule(steps_back=st.integers(0, 3))
    def roll_back(self, steps_back: int) -> None:
        """The owner goes back; a batch the learner still waits for is asked for anew."""
        if self.taking is not None:
            return
        restored = max(0, self.version - steps_back)
        self.left_behind |= set(range(restored + 1, self.version + 1))
        self.version += 1
        policy = replace(make_policy(self.version), restored_from=restored)
        self.run(self.gate.skip_version())
        self.run(self.buffer.forget(policy))
        self.drop_stale()
        self.settle()

    @rule()
    def no_slot_is_lost(self) -> None:
        """Once all that is under way arrives, the learner gets its batch."""
        before = self.version
        for _ in range(6):
            self.announce(late=0)
            self.admit(most=self.batch_size)
            while self.in_flight:
                self.finish(index=0, versions=(0, 0, 0, 0))
            self.score(count=len(self.unscored))
            self.take(is_scorable=True)
            if self.version > before:
                return
        raise AssertionError(f"stuck at version {before} with room {self.gate.room()}")

    @invariant()
    def every_slot_is_accounted_for(self) -> None:
        if hasattr(self, "gate"):
            under_way = len(self.in_flight) + len(self.unscored) + len(self.waiting)
            assert self.gate.admitted == self.num_trained + under_way
            assert len(self.buffer) == len(self.waiting)
            assert self.buffer.num_dropped == self.num_dropped

    @invariant()
    def no_more_is_admitted_than_may_arrive_in_time(self) -> None:
        if hasattr(self, "gate"):
            batches = self.gate.version + self.max_policy_lag + 1
            assert self.gate.admitted <= batches * self.batch_size

    @invariant()
    def nobody_waits_for_what_is_there(self) -> None:
        if hasattr(self, "gate"):
            assert self.admitting is None or self.gate.room() <= 0
            assert self.taking is None or len(self.waiting) < self.batch_size

    def run(self, step: Coroutine[Any, Any, None]) -> None:
        self.loop.run_until_complete(step)

    def go_on(self) -> None:
        for _ in range(TURNS):
            self.run(asyncio.sleep(0))

    def settle(self) -> None:
        """Let the waiting tasks go as far as they can, and tell the model what they did."""
        self.go_on()
        if self.taking is not None:
            self.drop_stale()
            if self.taking.done():
                self.learn(self.taking.result())
                self.taking = None
                self.go_on()
        if self.admitting is not None and self.admitting.done():
            granted = self.admitting.result()
            self.in_flight += [(self.num_started + n, self.gate.version) for n in range(granted)]
            self.num_started += granted
            self.admitting = None

    def drop_stale(self) -> None:
        fresh = [
            item
            for item in self.waiting
            if self.lag(item) <= self.max_policy_lag
            and self.left_behind.isdisjoint(item.rollout.policy_versions)
        ]
        self.num_dropped += len(self.waiting) - len(fresh)
        self.waiting = fresh

    def learn(self, taken: list[ScoredRollout]) -> None:
        assert taken == self.waiting[: self.batch_size], "not the oldest, in order"
        assert max(map(self.lag, taken)) <= self.max_policy_lag
        written_by = {version for item in taken for version in item.rollout.policy_versions}
        assert self.left_behind.isdisjoint(written_by)
        del self.waiting[: self.batch_size]
        if self.is_scorable:
            self.num_trained += len(taken)
            self.version += 1
        else:
            self.run(self.gate.release(len(taken)))

    def lag(self, item: ScoredRollout) -> int:
        return self.version - item.rollout.oldest_version


TestStaleness = StalenessMachine.TestCase
TestStaleness.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
