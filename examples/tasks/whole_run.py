"""A whole run of Andon as a part of a series: made once, gone on with where it was stopped.

Its folder is named for its recipe, so that another recipe is another run.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.programs import run_program
from cluster.alone.base_model import base_model
from cluster.config import RunConfig
from cluster.config_file import load_config
from cluster.run import RUNS
from protocol.json_digest import json_digest

ANDON = (sys.executable, "-m", "cluster.cli")


def seeded(seed: int) -> dict[str, object]:
    """Return the settings by which all of a run follows from one seed.

    That is its base model, texts and first weights alike, its prompts and what is drawn.
    """
    return {"run.seed": seed, "base_model.seed": seed, "prompts.seed": seed}


def config_of(config: Path, settings: Mapping[str, object]) -> RunConfig:
    """Return the config of a run: the file's, with some keys set otherwise."""
    return load_config(config, _overrides(settings))


def digest_of(config: RunConfig) -> str:
    """Name a recipe: another config, another name."""
    return json_digest(config.model_dump(mode="json"))[:8]


def start_of(config: RunConfig) -> Path:
    """Return the base model of a config, made unless it is there."""
    assert config.base_model is not None, "the task's config makes its own"
    return base_model(config.base_model, RUNS)


def run_to_end(config: Path, folder: Path, settings: Mapping[str, object]) -> None:
    """Have a run come to its end, unless it has.

    Args:
        config: The file that it starts from.
        folder: The run's.
        settings: What is set otherwise than in the file, by key.

    Raises:
        CalledProcessError: It did not end well.
    """
    state = folder / "run.json"
    if not state.exists():
        overrides = [part for each in _overrides(settings) for part in ("--set", each)]
        command = ["run", str(config), "--folder", str(folder), *overrides]
        run_program([*ANDON, *command])
    elif json.loads(state.read_text())["state"] != "finished":
        run_program([*ANDON, "resume", str(folder)])


def summary_of(folder: Path) -> dict[str, Any]:
    """Return a run that came to its end in figures."""
    return dict(json.loads((folder / "report" / "summary.json").read_text()))


def _overrides(settings: Mapping[str, object]) -> list[str]:
    return [f"{key}={value}" for key, value in settings.items()]
