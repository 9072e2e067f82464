"""A PPO learner in this process, with or without DeepSpeed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from learners.config import KLConfig, LearnerConfig, PolicyConfig, PPOConfig
from learners.ppo import PPOLearner
from learners.pretraining import PretrainingBlocks
from learners.weights import SharedMemoryPublisher
from reward_service.config import LoRAConfig
from tests.support import learner_inputs as inputs
from tests.support.plain_engine import PlainEngine


def policy_learner(
    model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **changes: Any
) -> PPOLearner:
    """Return `policy_learner_of` these arguments, whose engine is plain PyTorch."""
    monkeypatch.setattr("learners.ppo.Engine", PlainEngine)
    return policy_learner_of(model_folder, tmp_path, **changes)


def policy_learner_of(
    model_folder: Path,
    root: Path,
    *,
    ppo: PPOConfig = inputs.PPO,
    kl: KLConfig = inputs.KL,
    learner: LearnerConfig | None = None,
    lora: LoRAConfig | None = None,
    adapters_travel: bool = True,
    pretraining: PretrainingBlocks | None = None,
    **changes: object,
) -> PPOLearner:
    """Return the PPO learner of `learner_inputs`, alone, with changes of `[ppo]`."""
    return PPOLearner(
        policy=PolicyConfig(path=str(model_folder), lora=lora),
        ppo=PPOConfig.model_validate({**ppo.model_dump(), **changes}),
        kl=kl,
        learner=learner or inputs.engine_config(1, 0),
        checkpoint_root=root / "policy",
        total_episodes=inputs.TOTAL_EPISODES,
        probe_token_ids=inputs.PROBE,
        publisher=SharedMemoryPublisher(root / "weights"),
        seed=inputs.SEED,
        adapters_travel=adapters_travel,
        pretraining=pretraining,
    )
