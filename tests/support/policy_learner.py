"""A PPO learner in this process, without DeepSpeed."""

from __future__ import annotations

from pathlib import Path

import pytest

from learners.config import KLConfig, PolicyConfig, PPOConfig
from learners.ppo import PPOLearner
from learners.pretraining import PretrainingBlocks
from learners.weights import SharedMemoryPublisher
from tests.support import learner_inputs as inputs
from tests.support.plain_engine import PlainEngine


def policy_learner(
    model_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kl: KLConfig = inputs.KL,
    pretraining: PretrainingBlocks | None = None,
    **changes: object,
) -> PPOLearner:
    """Return the PPO learner of `learner_inputs` over plain PyTorch, with changes of `[ppo]`."""
    monkeypatch.setattr("learners.ppo.Engine", PlainEngine)
    return PPOLearner(
        policy=PolicyConfig(path=str(model_folder)),
        ppo=PPOConfig(**{**inputs.PPO.model_dump(), **changes}),
        kl=kl,
        learner=inputs.engine_config(1, 0),
        checkpoint_root=tmp_path / "policy",
        total_episodes=inputs.TOTAL_EPISODES,
        probe_token_ids=inputs.PROBE,
        publisher=SharedMemoryPublisher(tmp_path / "weights"),
        seed=inputs.SEED,
        pretraining=pretraining,
    )
