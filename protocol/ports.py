"""The ports: what one part asks of another, whatever stands behind it.

Each has a real implementation, and a fake in `tests/support` that passes the same contract tests.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from protocol.labels import FitRequest, RewardVersion
from protocol.messages import (
    ExperienceBatch,
    PolicyVersion,
    Prompt,
    Rollout,
    RolloutRequest,
    Score,
    StepReport,
    WeightsRef,
)


class PromptSource(Protocol):
    """An endless, seeded stream of prompts that can be resumed from a cursor."""

    def draw(self, count: int) -> list[Prompt]:
        """Return the next `count` prompts and move the cursor."""
        ...

    @property
    def cursor(self) -> int:
        """How many prompts were drawn so far."""
        ...

    def seek(self, cursor: int) -> None:
        """Go to where `cursor` prompts had been drawn."""
        ...


class RolloutActor(Protocol):
    """One generation engine."""

    async def generate(self, requests: Sequence[RolloutRequest]) -> list[Rollout]:
        """Draw one response a request, in order. Does not block other calls."""
        ...

    async def load_policy(self, policy: PolicyVersion) -> float:
        """Take new weights in flight and prove them; return the probe's largest difference.

        Loading the version already held does nothing; an older one raises VersionError; a probe
        out of tolerance raises ProbeMismatch.
        """
        ...


class WeightPublisher(Protocol):
    """The learner's end of the weight path."""

    def publish(self, version: int, tensors: Mapping[str, object]) -> WeightsRef:
        """Make named tensors available to every actor; keep the last few versions."""
        ...

    def close(self) -> None:
        """Free what is still published."""
        ...


class Scorer(Protocol):
    """The reward service as the loop sees it."""

    async def score(self, sequences: Sequence[Sequence[int]]) -> list[Score]:
        """Score token sequences (prompt + kept response), one answer each, in order.

        Raises ScoringFailed when no score can be had; a missing score is never zero.
        """
        ...


class Learner(Protocol):
    """The policy's trainer, as one; behind it are W ranks."""

    async def step(self, batch: ExperienceBatch) -> StepReport:
        """Run one PPO step and publish a version. The same `batch.step` again: the first answer."""
        ...


class RewardTrainer(Protocol):
    """The reward model's trainer, as one; the single writer of reward versions."""

    async def fit(self, request: FitRequest) -> RewardVersion:
        """Fit or update, validate, write a bundle and return its announcement."""
        ...


class MetricSink(Protocol):
    """Somewhere rows of metrics go."""

    def write(self, row: Mapping[str, float | int | str]) -> None:
        """Take one row; all its names share a prefix's step axis."""
        ...

    def close(self) -> None:
        """Flush and let go."""
        ...


