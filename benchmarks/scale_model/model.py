"""The loops of a run as queues: who waits for whom, in simulated time.

    actors ─▶ scoring ─▶ learner ─▶ version ─▶ actors        slots: the staleness bound
    labelers ─▶ updates, and refits between them ─▶ reward    labels: l(n), and what is asked

Service times are constants; what varies is who waits for whom.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Generator
from dataclasses import dataclass
from statistics import median
from typing import Any

import simpy

from benchmarks.scale_model.services import Sizes, Times
from label_queue.schedule import LabelSchedule

Steps = Generator[Any, Any, None]
SLICES = 50
"""Pieces of a refit, between which an update may come."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a run of such sizes would be like."""

    episodes_per_s: float
    """From the first step's beginning."""
    learner_idle: float
    actor_idle: float
    """Shares of the time since the first step began, in [0, 1]."""
    controller_busy: float
    """Share of its one core that the driver is at it."""
    coverage: float
    latency_p50_s: float
    latency_p95_s: float


class ScaleModel:
    """One simulated run.

    Args:
        sizes: How many parts.
        times: How long each takes.
    """

    def __init__(self, sizes: Sizes, times: Times) -> None:
        self._sizes = sizes
        self._times = times
        self._env = env = simpy.Environment()
        self._slots = simpy.Container(env, init=sizes.batch * (sizes.max_policy_lag + 1))
        self._drawn: simpy.Store = simpy.Store(env)
        self._scored = simpy.Container(env, init=0)
        self._trainer = simpy.PriorityResource(env)
        self._driver = simpy.Resource(env)
        self._schedule = LabelSchedule(
            total=sizes.labels,
            initial=sizes.initial_labels,
            num_episodes=sizes.episodes,
            refits=sizes.refits,
        )
        self._changed = env.event()
        self._episodes = 0
        self._asked = 0
        self._label_times: list[float] = []
        self._learned: set[int] = set()
        self._learned_by_step: dict[int, float] = {}
        self._coverage: list[float] = []
        self._began_at: float | None = None
        self._actors_busy_s = 0.0
        self._learner_busy_s = 0.0
        self._driver_busy_s = 0.0
        self._has_reward = env.event()

    def run(self) -> Outcome:
        """Run until the last episode is trained."""
        env, sizes = self._env, self._sizes
        for _ in range(sizes.actors):
            env.process(self._actor())
        for _ in range(sizes.replicas):
            env.process(self._replica())
        for _ in range(sizes.labelers):
            env.process(self._labeler())
        env.process(self._refits())
        env.process(self._updates())
        env.run(until=env.process(self._learner()))
        assert self._began_at is not None, "the learner has taken a step"
        passed = env.now - self._began_at
        waits = sorted(at - self._label_times[i] for i, at in self._learned_by_step.items())
        return Outcome(
            episodes_per_s=sizes.episodes / passed,
            learner_idle=1 - self._learner_busy_s / passed,
            actor_idle=1 - self._actors_busy_s / passed / sizes.actors,
            controller_busy=self._driver_busy_s / passed,
            coverage=median(self._coverage),
            latency_p50_s=waits[len(waits) // 2],
            latency_p95_s=waits[int(0.95 * len(waits))],
        )

    # ── the policy loop ──────────────────────────────────────────────────────────────────────

    def _actor(self) -> Steps:
        while True:
            count = self._sizes.requests_per_call
            yield self._slots.get(count)
            busy_s = count * self._times.response_s
            yield self._env.timeout(busy_s)
            if self._began_at is not None:
                self._actors_busy_s += busy_s
            yield from self._pass_driver(count)
            yield self._drawn.put(count)

    def _replica(self) -> Steps:
        yield self._has_reward
        while True:
            count = yield self._drawn.get()
            yield self._env.timeout(count * self._times.score_s)
            yield self._scored.put(count)

    def _pass_driver(self, count: int) -> Steps:
        with self._driver.request() as turn:
            yield turn
            yield self._env.timeout(count * self._times.controller_s)
            if self._began_at is not None:
                self._driver_busy_s += count * self._times.controller_s

    def _learner(self) -> Steps:
        sizes, times = self._sizes, self._times
        step_s = sizes.batch * times.episode_s / sizes.ranks
        step_s += times.meeting_s if sizes.ranks > 1 else 0.0
        while self._episodes < sizes.episodes:
            while len(self._label_times) < self._schedule.wanted(self._episodes):
                yield self._changed
            yield self._scored.get(sizes.batch)
            if self._began_at is None:
                self._began_at = self._env.now
            learned = set(self._learned)
            yield self._env.timeout(step_s)
            self._learner_busy_s += step_s
            self._episodes += sizes.batch
            self._env.process(self._take_up(learned))
            self._tell()

    def _take_up(self, learned: set[int]) -> Steps:
        """Actors take a version up; its slots are free then, and what it learned is in use."""
        yield self._env.timeout(self._times.load_s)
        yield self._slots.put(self._sizes.batch)
        for label in learned - self._learned_by_step.keys():
            self._learned_by_step[label] = self._env.now

    # ── the label loop ───────────────────────────────────────────────────────────────────────

    def _labeler(self) -> Steps:
        sizes = self._sizes
        while self._asked < sizes.labels:
            wanted = min(self._schedule.wanted(self._episodes) + sizes.ahead, sizes.labels)
            if self._asked >= wanted:
                yield self._changed
                continue
            self._asked += 1
            if self._has_reward.triggered and self._label_times:
                self._coverage.append(len(self._learned_by_step) / len(self._label_times))
            yield self._env.timeout(self._times.label_s)
            self._label_times.append(self._env.now)
            self._tell()

    def _refits(self) -> Steps:
        points, passed = self._schedule.refit_points, 0
        while True:
            count = len(self._label_times)
            if bisect_right(points, count) <= passed:
                yield self._changed
                continue
            passed = bisect_right(points, count)
            for _ in range(SLICES):
                with self._trainer.request(priority=1) as turn:
                    yield turn
                    yield self._env.timeout(self._times.refit_s_per_label * count / SLICES)
            yield from self._update(set(range(count)))

    def _updates(self) -> Steps:
        yield self._has_reward
        while True:
            if len(self._label_times) - len(self._learned) < self._sizes.update_every:
                yield self._changed
                continue
            yield from self._update(self._learned)

    def _update(self, known: set[int]) -> Steps:
        """Learn all that is there, on top of what is known; serve it."""
        with self._trainer.request(priority=0) as turn:
            yield turn
            count = len(self._label_times)
            yield self._env.timeout(self._times.update_s)
        self._learned = known | set(range(count))
        if not self._has_reward.triggered:
            self._has_reward.succeed()
        self._tell()

    def _tell(self) -> None:
        """Wake whoever waits for episodes, labels or a reward."""
        changed, self._changed = self._changed, self._env.event()
        changed.succeed()
