"""What tests of the policy learner share."""

from __future__ import annotations

from pathlib import Path

import pytest

from learners.ppo import PPOLearner
from tests.support.policy_learner import policy_learner
from tests.support.tiny_model import save_tiny_model


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("policy"))


@pytest.fixture
def learner(model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PPOLearner:
    return policy_learner(model_folder, tmp_path, monkeypatch)
