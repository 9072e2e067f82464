"""One rank of the PPO learner and of the reward trainer, at the ports they have in a run."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from learners.ppo import PPOLearner
from learners.reward_fit import RewardTrainer
from protocol.messages import ExperienceBatch
from tests.support import learner_inputs as inputs
from tests.support.learner_contract import LearnerContract
from tests.support.one_rank import OneRankLearner, OneRankTrainer
from tests.support.plain_engine import PlainEngine
from tests.support.policy_learner import policy_learner
from tests.support.present import present
from tests.support.reward_trainer_contract import OwnRewardTrainerContract


class TestPPOLearner(LearnerContract, of=PPOLearner):
    @pytest.fixture
    def learner(
        self, model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> OneRankLearner:
        rank = policy_learner(model_folder, tmp_path, monkeypatch)
        assert present(rank.announce()).version == 0
        return OneRankLearner(rank)

    def batch(self, step: int) -> ExperienceBatch:
        return inputs.experience_batch(step)


class TestRewardTrainer(OwnRewardTrainerContract, of=RewardTrainer):
    @pytest.fixture
    def trainer(
        self, model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> OneRankTrainer:
        monkeypatch.setattr("learners.reward_fit.Engine", PlainEngine)
        ticks = itertools.count()
        rank = RewardTrainer(
            policy_path=model_folder,
            model=inputs.REWARD_MODEL,
            fit=inputs.REWARD_FIT,
            deepspeed=inputs.engine_config(1, 0),
            root=tmp_path / "reward",
            reference_sequences=inputs.reference_sequences(),
            clock=lambda: float(next(ticks)),
        )
        return OneRankTrainer(rank)
