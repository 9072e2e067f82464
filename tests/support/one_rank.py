"""Learners of one rank as the ports have them: called in this process, on a plain engine."""

from __future__ import annotations

from pathlib import Path

from learners.ppo import PPOLearner
from learners.reward_fit import RewardTrainer
from protocol.fits import FitRequest, RewardVersion
from protocol.messages import ExperienceBatch, PolicyVersion, StepReport
from tests.support.present import present


class OneRankLearner:
    """A PPO learner, whose one rank answers for all."""

    def __init__(self, rank: PPOLearner) -> None:
        self._rank = rank

    async def step(self, batch: ExperienceBatch) -> StepReport:
        return present(self._rank.step(batch))

    async def checkpoints(self) -> tuple[int, ...]:
        return self._rank.checkpoints()

    async def keep(self) -> int:
        return self._rank.keep()

    async def resume(self, version: int, publish_as: int) -> PolicyVersion:
        return present(self._rank.resume(version, publish_as))

    async def restore(self, version: int, step: int | None = None) -> PolicyVersion:
        return present(self._rank.restore(version, step))

    async def save(self, path: str) -> None:
        self._rank.save(Path(path))

    async def rest(self) -> None:
        self._rank.rest()

    async def wake(self) -> None:
        self._rank.wake()


class OneRankTrainer:
    """A reward trainer, whose one rank answers for all."""

    def __init__(self, rank: RewardTrainer) -> None:
        self._rank = rank

    async def advance(self, request: FitRequest, num_steps: int) -> bool:
        return self._rank.advance(num_steps, request)

    async def fit(self, request: FitRequest) -> RewardVersion:
        return present(self._rank.fit(request))
