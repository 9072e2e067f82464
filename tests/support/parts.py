"""Fakes of the controller's parts: they keep the ports' promises and remember what was asked.

That they do is checked by the contract suites beside them, which the real parts pass too. The label
queue has no fake: see `real_queue`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from protocol.errors import (
    AndonError,
    InputError,
    MissingError,
    ProbeMismatch,
    ScoringFailed,
    VersionError,
)
from protocol.fits import FitRequest, RewardVersion
from protocol.messages import (
    ExperienceBatch,
    PolicyVersion,
    Prompt,
    Rollout,
    RolloutRequest,
    Score,
    StepReport,
)
from tests.support.messages import PROBE, make_policy, make_prompt, make_rollout

PROBE_DIFFERENCE = 1e-6
"""What a fake actor's probe differs by, nats."""
STEP_KL = 2.0**-6
"""How far a fake learner's step moves the policy, nats: so little that no query ends by it."""


class FakePrompts:
    """Prompt number n is "p-n"."""

    def __init__(self) -> None:
        self._num_drawn = 0

    def draw(self, count: int) -> list[Prompt]:
        self._num_drawn += count
        return [make_prompt(n) for n in range(self._num_drawn - count, self._num_drawn)]

    def skip(self, count: int) -> None:
        self._num_drawn += count


class FakeActor:
    """Answers at once, unless `may_answer` is cleared, under the version it holds.

    `is_complete` decides which responses end. `requests` are those drawn, each once. `note` is told
    what becomes of it.
    """

    note: Callable[[str], None] = staticmethod(lambda _: None)

    def __init__(self, is_complete: Callable[[RolloutRequest], bool] = lambda _: True) -> None:
        self.version = 0
        self.requests: list[RolloutRequest] = []
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self._is_complete = is_complete
        self._answers: dict[str, Rollout] = {}
        self._failure: ProbeMismatch | None = None
        self._is_awake = asyncio.Event()
        self._is_awake.set()
        self._num_drawing = 0

    async def generate(self, requests: Sequence[RolloutRequest]) -> list[Rollout]:
        fresh = {each.rollout_id: each for each in requests if each.rollout_id not in self._answers}
        self.requests += fresh.values()
        await self._is_awake.wait()
        self._num_drawing += 1
        self.note("draws")
        try:
            return await self._draw(requests, fresh)
        finally:
            self._num_drawing -= 1
            self.note("drew")

    async def _draw(
        self, requests: Sequence[RolloutRequest], fresh: Mapping[str, RolloutRequest]
    ) -> list[Rollout]:
        for rollout_id, request in fresh.items():
            is_complete = self._is_complete(request)
            self._answers[rollout_id] = make_rollout(request, self.version, is_complete=is_complete)
        await asyncio.sleep(0)
        await self.may_answer.wait()
        self._refuse_unproved()
        return [self._answers[each.rollout_id] for each in requests]

    async def load_policy(self, policy: PolicyVersion) -> float:
        await asyncio.sleep(0)
        self._refuse_unproved()
        if policy.version < self.version:
            raise VersionError(
                f"version {policy.version} is older than {self.version}, the one loaded"
            )
        if policy.probe != PROBE:
            self._failure = ProbeMismatch(f"the probe of version {policy.version} is another")
        self._refuse_unproved()
        if policy.version > self.version:
            self.note(f"loads {policy.version}")
        self.version = policy.version
        if not self._is_awake.is_set():
            self._is_awake.set()
            self.note("wakes")
        return PROBE_DIFFERENCE

    async def rest(self) -> None:
        await asyncio.sleep(0)
        self._refuse_unproved()
        if self._is_awake.is_set():
            self.note("is to rest")
            self._is_awake.clear()
            while self._num_drawing:  # noqa: ASYNC110 -- it is asked for nothing else meanwhile
                await asyncio.sleep(0)
            self.note("rests")

    def _refuse_unproved(self) -> None:
        if self._failure is not None:
            raise self._failure


class FakeLearner:
    """Keeps a checkpoint of every second version. `batches` are those trained on, each once.

    What `keep` keeps is a folder under `root`, where there is one, with the episodes in it. `note`
    is told what becomes of it.
    """

    note: Callable[[str], None] = staticmethod(lambda _: None)

    def __init__(self, root: Path | None = None) -> None:
        self._root = root
        self.batches: list[ExperienceBatch] = []
        self.restored: list[int] = []
        self.newest = 0
        self.is_resting = False
        self.saved: list[str] = []
        self.kept: dict[int, tuple[int, int | None, float]] = {}
        """Of the versions that `keep` kept: episodes, what was restored to make them, and how far
        the policy had moved."""
        self._moved = {0: 0.0}
        """How far the policy had moved at each version that was made here."""
        self._episodes = 0
        self._restored_from: int | None = None
        self._last: tuple[int, StepReport] | None = None
        self._last_restore: tuple[tuple[int, int], PolicyVersion] | None = None
        self._turn = asyncio.Lock()

    async def step(self, batch: ExperienceBatch) -> StepReport:
        async with self._turn:
            if self._last is not None and batch.step == self._last[0]:
                return self._last[1]
            if batch.step != self.newest:
                raise VersionError(f"policy step {batch.step} came after step {self.newest - 1}")
            self._at_work("steps")
            self.batches.append(batch)
            for _ in range(5):  # long enough for the other loops to move
                await asyncio.sleep(0)
            self.newest += 1
            self._episodes = batch.episodes_before + len(batch.rollouts)
            self._restored_from = None
            self._moved[self.newest] = self._way_to(self.newest - 1) + STEP_KL
            metrics = {"policy/loss": 0.5, "policy/step_kl": STEP_KL}
            report = StepReport(policy=self._announced(), metrics=metrics)
            self._last = (batch.step, report)
            return report

    async def checkpoints(self) -> tuple[int, ...]:
        return tuple(sorted({*range(0, self.newest, 2), *self.kept}))

    async def keep(self) -> int:
        async with self._turn:
            self._at_work("keeps")
            moved = self._way_to(self.newest)
            self.kept[self.newest] = (self._episodes, self._restored_from, moved)
            if self._root is not None:
                self._keep_below(self._root)
            return self.newest

    async def resume(self, version: int, publish_as: int) -> PolicyVersion:
        async with self._turn:
            if publish_as < version:
                raise VersionError(f"policy version {version} cannot become {publish_as}")
            if self._root is not None:
                for folder in self._root.glob("v*"):
                    kept = json.loads((folder / "position").read_text())
                    self.kept[int(folder.name[1:])] = (
                        kept["episodes"],
                        kept["restored_from"],
                        kept["moved_kl"],
                    )
            if version not in self.kept:
                raise MissingError(f"no checkpoint of policy version {version}")
            self._at_work("resumes")
            self.newest = publish_as
            self._episodes, self._restored_from, moved = self.kept[version]
            self._moved = {each: moved for each, (_, _, moved) in self.kept.items()}
            self._moved[publish_as] = moved
            if publish_as > version:
                self._restored_from = version
            return self._announced()

    async def restore(self, version: int, step: int | None = None) -> PolicyVersion:
        kept = await self.checkpoints()
        async with self._turn:
            if self._last_restore is not None and self._last_restore[0] == (version, step):
                return self._last_restore[1]
            if step not in (None, self.newest):
                raise VersionError(f"version {step} was to be left, and is not the newest")
            if version not in kept:
                raise MissingError(f"no checkpoint of policy version {version}")
            self._at_work("restores")
            self.restored.append(version)
            self.newest += 1
            self._last, self._restored_from = None, version
            left = self._way_to(self.newest - 1)
            self._moved[self.newest] = left + abs(left - self._way_to(version))
            policy = self._announced()
            self._last_restore = ((version, self.newest - 1), policy)
            return policy

    async def save(self, path: str) -> None:
        async with self._turn:
            self._at_work("saves")
            self.saved.append(path)

    async def rest(self) -> None:
        async with self._turn:
            if not self.is_resting:
                self.is_resting = True
                self.note("learner rests")

    async def wake(self) -> None:
        async with self._turn:
            if self.is_resting:
                self.is_resting = False
                self.note("learner wakes")

    def _keep_below(self, root: Path) -> None:
        file = root / f"v{self.newest:06d}" / "position"
        position = {
            "episodes": self._episodes,
            "restored_from": self._restored_from,
            "moved_kl": self._way_to(self.newest),
        }
        if file.exists() and json.loads(file.read_text()) != position:
            raise VersionError(f"policy version {self.newest} was kept before: {file.parent}")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(position))

    def _way_to(self, version: int) -> float:
        """How far it had moved at a version; of one that a test begins with, by its number."""
        return self._moved.get(version, version * STEP_KL)

    def _announced(self) -> PolicyVersion:
        return replace(
            make_policy(self.newest, self._episodes),
            restored_from=self._restored_from,
            moved_kl=self._way_to(self.newest),
        )

    def _at_work(self, what: str) -> None:
        assert not self.is_resting, "its weights are on the host"
        self.note(what)


class FakeRewardService:
    """Scores with the live version; fails first as often as it is told to."""

    def __init__(self, failures: int = 0) -> None:
        self.version = 0
        self.served: list[int] = []
        """Versions that were live, in order."""
        self.withdrawn: dict[int, AndonError] = {}
        """Versions that are never to be, and why."""
        self.value: Callable[[int, Sequence[int]], float] = lambda version, sequence: 0.1
        """(reward version, sequence) → score."""
        self._failures = failures

    async def score(self, sequences: Sequence[Sequence[int]]) -> list[Score]:
        await asyncio.sleep(0)
        if self._failures:
            self._failures -= 1
            raise ScoringFailed("no replica answered")
        values = [self.value(self.version, sequence) for sequence in sequences]
        return [Score(value=x, heads=(x,), reward_version=self.version) for x in values]

    async def swap(self, version: RewardVersion) -> None:
        await asyncio.sleep(0)
        if version.version < self.version:
            raise VersionError(f"reward version {version.version} came after {self.version}")
        if version.version in self.withdrawn:
            raise self.withdrawn[version.version]
        self.version = version.version
        if self.version not in self.served:
            self.served.append(self.version)

    async def withdraw(self, version: RewardVersion, why: AndonError) -> None:
        await asyncio.sleep(0)
        if version.version > self.version:
            self.withdrawn[version.version] = why


class FakeRewardTrainer:
    """Learns nothing. `requests` are those fitted, each once."""

    steps_of_refit = 2

    def __init__(self) -> None:
        self.requests: list[FitRequest] = []
        self.last: RewardVersion | None = None
        """The newest version."""
        self.withdrawn: Container[int] = ()
        """Versions that replicas would not take: it goes on from the newest that is not one."""

    async def advance(self, request: FitRequest, num_steps: int) -> bool:
        await asyncio.sleep(0)
        if not request.comparisons:
            raise InputError("a reward fit got no comparisons: wait for labels")
        return num_steps >= self.steps_of_refit or request in self.requests

    async def fit(self, request: FitRequest) -> RewardVersion:
        await asyncio.sleep(0)
        newest = self._newest()
        if self.last is not None and request == self.requests[-1] and self.last.version == newest:
            return self.last
        if not request.comparisons:
            raise InputError("a reward fit got no comparisons: wait for labels")
        if request.kind == "warm" and not newest:
            raise VersionError("a warm update has no version to go on from: refit first")
        if request.goes_on_from not in (None, newest):
            raise VersionError(f"version {newest} is the newest")
        self.requests.append(request)
        self.last = RewardVersion.answering(request, version=len(self.requests), fit_seconds=0.1)
        return self.last

    def _newest(self) -> int:
        numbers = range(len(self.requests), 0, -1)
        return next((number for number in numbers if number not in self.withdrawn), 0)
