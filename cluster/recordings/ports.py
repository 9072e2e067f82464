"""The ports of a run's parts, with what crosses them on record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from cluster.recordings.crossings import (
    FIT,
    RESTORE,
    SCORE,
    STEP,
    SWAP,
    as_reported,
    without_place,
)
from cluster.recordings.recorder import Recorder
from protocol.errors import AndonError
from protocol.fits import FitRequest, RewardVersion
from protocol.messages import ExperienceBatch, PolicyVersion, Score, StepReport
from protocol.ports import Learner, RewardService, RewardTrainer

T = TypeVar("T")


class RecordedLearner:
    """A `protocol.ports.Learner` on record: batches before they are trained on, reports after.

    Args:
        learner: Does the work.
        recorder: Writes it down.
    """

    def __init__(self, learner: Learner, recorder: Recorder) -> None:
        self._learner = learner
        self._recorder = recorder

    async def step(self, batch: ExperienceBatch) -> StepReport:
        """See `protocol.ports.Learner`."""
        return await self._recorder.through(
            STEP, batch, lambda: self._learner.step(batch), as_reported
        )

    async def checkpoints(self) -> tuple[int, ...]:
        """See `protocol.ports.Learner`."""
        return await self._learner.checkpoints()

    async def keep(self) -> int:
        """See `protocol.ports.Learner`; a replay keeps what it wants."""
        return await self._learner.keep()

    async def resume(self, version: int, publish_as: int) -> PolicyVersion:
        """See `protocol.ports.Learner`; it comes before a run's parts are on record."""
        return await self._learner.resume(version, publish_as)

    async def restore(self, version: int, step: int | None = None) -> PolicyVersion:
        """See `protocol.ports.Learner`."""
        return await self._recorder.through(
            RESTORE, version, lambda: self._learner.restore(version, step), without_place
        )


class RecordedRewardTrainer:
    """A `protocol.ports.RewardTrainer` on record.

    Args:
        trainer: Does the work.
        recorder: Writes it down.
    """

    def __init__(self, trainer: RewardTrainer, recorder: Recorder) -> None:
        self._trainer = trainer
        self._recorder = recorder

    async def advance(self, request: FitRequest, num_steps: int) -> bool:
        """See `protocol.ports.RewardTrainer`; on record is the fit that ends it, with its request.

        What comes of it is the same however it was worked off.
        """
        return await self._trainer.advance(request, num_steps)

    async def fit(self, request: FitRequest) -> RewardVersion:
        """See `protocol.ports.RewardTrainer`."""
        return await self._recorder.through(
            FIT, request, lambda: self._trainer.fit(request), itself
        )


class RecordedRewardService:
    """A `protocol.ports.RewardService` on record.

    Args:
        service: Does the work.
        recorder: Writes it down.
    """

    def __init__(self, service: RewardService, recorder: Recorder) -> None:
        self._service = service
        self._recorder = recorder

    async def score(self, sequences: Sequence[Sequence[int]]) -> list[Score]:
        """See `protocol.ports.Scorer`."""
        asked = tuple(tuple(sequence) for sequence in sequences)
        return await self._recorder.through(
            SCORE, asked, lambda: self._service.score(sequences), tuple
        )

    async def swap(self, version: RewardVersion) -> None:
        """See `protocol.ports.RewardService`."""
        await self._recorder.through(SWAP, version, lambda: self._service.swap(version), itself)

    async def withdraw(self, version: RewardVersion, why: AndonError) -> None:
        """See `protocol.ports.RewardService`; the version's bundle says it."""
        await self._service.withdraw(version, why)


def itself(answer: T) -> T:
    """Return an answer that is recorded as it is."""
    return answer
