"""A published experiment of `examples/tasks/` as a whole run, made small."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tests.support.run_process import REPOSITORY, ended_well

TASKS = REPOSITORY / "examples" / "tasks"
SMALL = (
    "run.episodes=128",
    "base_model.num_texts=1500",
    "ppo.batch_size=32",
    "rollouts.num_actors=1",
    "reward_model.num_normalisation_samples=32",
    "labels.ahead=4",
    "labels.refits=2",
    'labelers=[{name = "robot", beta = 1e6, seconds_per_label = 0.05}]',
)
"""Four steps, and a labeler who never errs."""


def run_small(task: str, parent: Path, settings: Iterable[str]) -> Path:
    """Run a task to its good end; return the run's folder, named for the task.

    Args:
        task: Its folder's name.
        parent: Where the run lies, and beside it base models, which runs of the same recipe share.
        settings: What is set after `SMALL`.
    """
    folder, config = parent / task, TASKS / task / "run.toml"
    chosen = (*SMALL, *settings)
    ended_well(folder, "run", str(config), "--folder", folder.name, settings=chosen)
    return folder
