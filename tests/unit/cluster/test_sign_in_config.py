"""`[labels.intake.oidc]` in a run's config, as docs/sign_in.md has it."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from cluster.config_file import load_config, save_config
from cluster.starting.preflight import check_before_start
from protocol.errors import ConfigError

ROOT = Path(__file__).parents[3]
DEMO = ROOT / "cluster/demo.toml"
PAGE = (ROOT / "docs/sign_in.md").read_text(encoding="utf-8")


def settings(section: dict[str, Any], prefix: str = "") -> list[str]:
    """Return a part of a config as overrides."""
    found = []
    for key, value in section.items():
        name = f"{prefix}.{key}" if prefix else key
        if isinstance(value, dict):
            found += settings(value, name)
        else:
            found.append(f"{name}={value}" if isinstance(value, str) else f"{name}={value!r}")
    return found


BLOCKS = [tomllib.loads(block) for block in re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)]
WHOLE = next(block for block in BLOCKS if "cluster" in block)


@pytest.mark.parametrize("block", BLOCKS)
def test_every_config_in_the_docs_is_one(block: dict[str, Any], tmp_path: Path) -> None:
    base = settings(WHOLE)
    config = load_config(DEMO, (*base, *settings(block)))
    assert config.labels.intake.oidc is not None
    save_config(config, tmp_path / "config.toml")
    assert load_config(tmp_path / "config.toml") == config


def test_there_must_be_an_address_to_come_back_to() -> None:
    without = {key: value for key, value in WHOLE.items() if key != "cluster"}
    with pytest.raises(ConfigError, match=r"labels\.intake\.oidc needs .*set cluster\.public_url"):
        load_config(DEMO, settings(without))


def test_a_run_without_the_secret_is_refused_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = load_config(DEMO, (*settings(WHOLE), "cluster.http_port=0"))
    assert config.labels.intake.oidc is not None
    monkeypatch.delenv(config.labels.intake.oidc.client_secret_env, raising=False)
    with pytest.raises(ConfigError, match=r"environment variable \w+ is empty"):
        check_before_start(config, tmp_path / "run", tmp_path / "cache")
