"""A whole run of Andon as a part of a series: made once, gone on with where it was stopped.

Its folder is named for its recipe, so that another recipe is another run.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.programs import run_program
from cluster.alone.base_model import base_model
from cluster.config import RunConfig
from cluster.config_file import load_config
from cluster.run import RUNS
from protocol.json_digest import json_digest

ANDON = (sys.executable, "-m", "cluster.cli")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One run of a series: a task's config with some keys set otherwise, and a seed."""

    file: Path
    """The task's config."""
    series: Path
    """Where the series lies; the run is a folder in it."""
    name: str
    """What sets it apart from the others of its seed, e.g. "ptx27.8"; its folder begins so."""
    seed: int
    """All of the run follows from it; see `seeded`."""
    changed: Mapping[str, object]
    """What is set otherwise than in the file, by key."""

    @property
    def settings(self) -> dict[str, object]:
        """What is changed, and its seeds."""
        return {**self.changed, **seeded(self.seed)}

    @property
    def config(self) -> RunConfig:
        """What it runs by."""
        return config_of(self.file, self.settings)

    @property
    def folder(self) -> Path:
        """Where it lies, or will: named for its recipe."""
        return self.series / f"{self.name}-{self.seed}-{digest_of(self.config)}"

    def policy(self) -> Path:
        """Return the policy that came of it."""
        return self.folder / "policy" / "final"

    @property
    def summary(self) -> dict[str, Any]:
        """The run in figures, once it came to its end."""
        return dict(json.loads((self.folder / "report" / "summary.json").read_text()))

    def run(self) -> None:
        """Have it run to its end, unless it has.

        Raises:
            CalledProcessError: It did not end well.
        """
        run_to_end(self.file, self.folder, self.settings)


def ptx_case(file: Path, series: Path, coefficient: float, seed: int) -> Case:
    """Return the run of a γ_ptx and a seed, whose pretraining texts are the base model's own.

    Args:
        file: The task's config.
        series: Where the series lies; its name begins the run's.
        coefficient: γ_ptx.
        seed: Of all of the run.
    """
    name = f"ptx{coefficient:g}"
    changed = {
        "run.name": f"{series.name}-{name}",
        "ppo.ptx.coefficient": coefficient,
        "pretraining.seed": seed,
    }
    return Case(file=file, series=series, name=name, seed=seed, changed=changed)


def seeded(seed: int) -> dict[str, object]:
    """Return the settings by which all of a run follows from one seed.

    That is its base model, texts and first weights alike, its prompts and what is drawn. Where it
    goes on with the base model's own texts, `pretraining.seed` is to be set beside it.
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


def _overrides(settings: Mapping[str, object]) -> list[str]:
    return [f"{key}={value}" for key, value in settings.items()]
