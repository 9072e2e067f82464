"""Configs refuse what cannot work, and cost nothing to import."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest
from pydantic import ValidationError

from learners.config import DeepSpeedConfig, PPOConfig
from learners.text_config import BaseModelConfig, FromScratchConfig


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: PPOConfig(batch_size=10, minibatches=4), "not a multiple of minibatches"),
        (lambda: PPOConfig(critic_path="reward/v000001"), "critic = 'separate'"),
        (lambda: DeepSpeedConfig(offload_optimizer=True), "zero_stage 1, 2 or 3"),
        (lambda: BaseModelConfig(width=100, heads=3), "not a multiple of heads"),
        (lambda: BaseModelConfig(context_tokens=32), "over context_tokens"),
        (
            lambda: BaseModelConfig(engine=FromScratchConfig(micro_batch_tokens=63)),
            "engine.micro_batch_tokens 63 is less than training.block_tokens 64",
        ),
        (lambda: PPOConfig.model_validate({"clip_rnage": 0.1}), "clip_rnage"),
    ],
)
def test_mistakes_are_named(build: Callable[[], object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        build()


def test_importing_the_config_imports_nothing_heavy() -> None:
    code = (
        "import sys, learners.config; "
        "print(sorted({'torch', 'ray', 'deepspeed', 'transformers'} & set(sys.modules)))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("schedule", "warmup_episodes", "rates"),
    [
        ("constant", 0, [1.0, 1.0, 1.0, 1.0, 1.0]),
        ("constant", 32, [0.1, 0.55, 1.0, 1.0, 1.0]),
        ("linear", 32, [0.1, 0.55 * 0.75, 0.5, 0.25, 0.0]),
        ("linear", 128, [0.1, 0.2125 * 0.75, 0.325 * 0.5, 0.4375 * 0.25, 0.0]),
    ],
)
def test_the_learning_rate_rises_from_a_tenth(
    schedule: str, warmup_episodes: int, rates: list[float]
) -> None:
    ppo = PPOConfig.model_validate(
        {"lr": 1.0, "lr_schedule": schedule, "warmup_episodes": warmup_episodes}
    )
    found = [ppo.lr_after(episodes, 64) for episodes in (0, 16, 32, 48, 64)]
    assert found == pytest.approx(rates)
