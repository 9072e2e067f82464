from __future__ import annotations

import subprocess
import sys

import pytest
from pydantic import ValidationError

from reward_service.config import RewardModelConfig, RewardServiceConfig


def test_defaults_are_those_of_ziegler() -> None:
    config = RewardModelConfig()
    assert (config.num_heads, config.normalisation) == (1, "reference")
    assert config.num_normalisation_samples == 256


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"num_heads": 0}, "num_heads"),
        ({"combine": "median"}, "combine"),
        ({"heads": 2}, "heads"),
        ({"combine": "mean_minus_variance", "variance_coefficient": 0.5}, "num_heads"),
        ({"combine": "mean_minus_variance", "num_heads": 3}, "variance_coefficient"),
        ({"combine": "min", "num_heads": 3, "variance_coefficient": 0.5}, "variance_coefficient"),
    ],
)
def test_bad_model_settings_are_refused_by_name(fields: dict[str, object], named: str) -> None:
    with pytest.raises(ValidationError, match=named):
        RewardModelConfig.model_validate(fields)


def test_batches_that_could_never_fill_are_refused() -> None:
    with pytest.raises(ValidationError, match="twice max_batch_size"):
        RewardServiceConfig(max_batch_size=64, max_ongoing_requests=127)


def test_configs_and_the_client_load_without_torch_or_ray() -> None:
    code = (
        "import sys, reward_service.config, reward_service.client, reward_service.announcer;"
        "sys.exit(any(m in sys.modules for m in ('torch', 'ray', 'transformers')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
