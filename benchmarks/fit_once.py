"""A reward model fitted once, for a benchmark that wants the model and no run."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from learners.config import DeepSpeedConfig, RewardFitConfig
from learners.reward_fit import RewardTrainer
from protocol.fits import FitRequest
from reward_service.bundle import load_bundle
from reward_service.config import RewardModelConfig
from reward_service.reward_model import RewardModel


def fitted_once(
    request: FitRequest,
    *,
    policy: Path,
    model: RewardModelConfig,
    fit: RewardFitConfig,
    deepspeed: DeepSpeedConfig,
    reference: Sequence[Sequence[int]],
) -> RewardModel:
    """Return the model that a new trainer, of one rank, makes of a request. Blocks.

    Args:
        request: What to learn.
        policy: ρ, a folder.
        model: Heads and normalisation.
        fit: Rates, batches, seed.
        deepspeed: The engine.
        reference: [N][T_n] sequences that normalise.

    `engine.join_ranks` comes first.
    """
    with new_trainer(
        policy=policy, model=model, fit=fit, deepspeed=deepspeed, reference=reference
    ) as trainer:
        version = trainer.fit(request)
        assert version is not None, "the only rank answers"
        return load_bundle(Path(version.path)).model


@contextmanager
def new_trainer(
    *,
    policy: Path,
    model: RewardModelConfig,
    fit: RewardFitConfig,
    deepspeed: DeepSpeedConfig,
    reference: Sequence[Sequence[int]],
) -> Iterator[RewardTrainer]:
    """Give a trainer of one rank, whose bundles go with it. Arguments as `fitted_once`'s."""
    with tempfile.TemporaryDirectory() as root:
        trainer = RewardTrainer(
            policy_path=policy,
            model=model,
            fit=fit,
            deepspeed=deepspeed,
            root=Path(root),
            reference_sequences=reference,
            clock=time.monotonic,
        )
        try:
            yield trainer
        finally:
            trainer.close()
