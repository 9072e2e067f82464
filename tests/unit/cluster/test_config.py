"""Parts of a config that must agree: told before anything is started."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster.config import load_config, parse_config, save_config
from protocol.errors import ConfigError

ROOT = Path(__file__).parents[3]
SHIPPED = (ROOT / "cluster/demo.toml", *sorted((ROOT / "examples").glob("*.toml")))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_every_shipped_config_is_valid_and_saved_as_it_was_read(path: Path, tmp_path: Path) -> None:
    given = ("prompts.path=prompts.jsonl",) if path.name == "reviews.toml" else ()
    config = load_config(path, given)
    save_config(config, tmp_path / "config.toml")
    assert load_config(tmp_path / "config.toml") == config


def test_a_batch_that_the_ranks_cannot_share_is_refused() -> None:
    content = {
        "people": ["ann"],
        "run": {"episodes": 96},
        "prompts": {"source": "reviews"},
        "policy": {"path": "model"},
        "ppo": {"batch_size": 12, "minibatches": 4},
        "rollouts": {"requests_per_call": 4},
        "learner": {"num_ranks": 2},
        "labels": {},
    }
    with pytest.raises(ConfigError, match="batch_size 12 is not a multiple of 8"):
        parse_config(content, "test")
