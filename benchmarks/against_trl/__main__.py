"""Episodes a second of Andon and of TRL's PPO, at the same work on the same cores, in turns.

    python -m benchmarks.against_trl [--turns 3] [--episodes 3840]

A GPT-2 of 0.9 M weights, prompts of 8 tokens, responses of 24, batches of 128 episodes, 4 epochs of
4 minibatches; the reward is another GPT-2 of that size, and nobody labels. TRL does it in one
process, on one thread and on two; Andon in its usual processes, with one rollout actor: with a
critic of its own and all in float32 as TRL has it, and as Andon is by itself, with the trunk shared
and products in bfloat16 where the CPU has them. TRL is installed into an environment of its own at
the first call, which takes minutes. What counts is what comes after the first batch or step. The
ways take turns, so that a busy neighbour slows all alike; the table is Markdown, each figure the
median over the turns.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

import click

from benchmarks.against_trl.task import Task, make_task, write_reward
from benchmarks.against_trl.venv import TRL, make_venv
from benchmarks.programs import run_program

ANDON = {
    "the same work": ("ppo.critic=separate", "learner.matmul_dtype=float32"),
    "as it is by itself": (),
}
"""What is set in Andon's config, by what it is for."""
FOLDER = Path("runs/against-trl")
LOG = FOLDER / "log.txt"
"""What they print on the way."""


def trl(python: Path, task: Task, threads: int, folder: Path) -> float:
    """Return TRL's episodes a second."""
    script = Path(__file__).with_name("trl_ppo.py")
    with LOG.open("a") as log:
        done = run_program(
            [python, script, Path(task.folder) / "task.json", str(threads), folder],
            stdout=subprocess.PIPE,
            stderr=log,
            env={**os.environ, "OMP_NUM_THREADS": str(threads), "HF_HUB_OFFLINE": "1"},
        )
    return float(done.stdout.split()[-1])


def andon(task: Task, bundle: Path, settings: tuple[str, ...], folder: Path) -> float:
    """Return Andon's episodes a second, by its report."""
    given = (
        f"run.episodes={task.episodes}",
        f"run.reward={bundle.absolute()}",
        f"prompts.path={Path(task.folder).absolute() / 'prompts.jsonl'}",
        f"policy.path={Path(task.model).absolute()}",
        f"response.max_tokens={task.response_tokens}",
        f"ppo.batch_size={task.batch_size}",
        f"ppo.epochs={task.epochs}",
        f"ppo.minibatches={task.minibatches}",
        f"ppo.lr={task.lr}",
        *settings,
    )
    overrides = [part for setting in given for part in ("--set", setting)]
    config = Path(__file__).with_name("andon.toml")
    command = [sys.executable, "-m", "cluster.cli", "run", str(config), "--folder", str(folder)]
    with LOG.open("a") as log:
        run_program([*command, *overrides], stdout=log, stderr=log)
    summary = json.loads((folder / "report" / "summary.json").read_text())
    return float(summary["episodes_per_s"])


def table(rates: dict[str, list[float]]) -> str:
    """Return medians and their ratio to TRL's best, as Markdown."""
    medians = {name: median(each) for name, each in rates.items()}
    best = max(rate for name, rate in medians.items() if name.startswith("TRL"))
    lines = ["| way | episodes/s | of TRL's best |", "| --- | ---: | ---: |"]
    lines += [f"| {name} | {rate:.1f} | {rate / best:.2f} |" for name, rate in medians.items()]
    return "\n".join(lines)


def main() -> None:
    """Run from the command line; see the module."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--episodes", type=int, default=3840)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    chosen = parser.parse_args()
    FOLDER.mkdir(parents=True, exist_ok=True)
    python, task = make_venv(FOLDER / "venv"), make_task(FOLDER / "task", chosen.episodes)
    bundle = write_reward(task)
    ways: dict[str, Callable[[Path], float]] = {}
    for threads in chosen.threads:
        ways[f"TRL {TRL}, {threads} threads"] = partial(trl, python, task, threads)
    for name, settings in ANDON.items():
        for threads in chosen.threads:
            ways[f"Andon, {name}, learner on {threads} threads"] = partial(
                andon, task, bundle, (*settings, f"learner.torch_threads={threads}")
            )
    rates: dict[str, list[float]] = defaultdict(list)
    for turn in range(1, chosen.turns + 1):
        for way, measure in ways.items():
            with tempfile.TemporaryDirectory(dir=FOLDER) as scratch:
                rates[way].append(measure(Path(scratch) / "run"))
            click.echo(f"turn {turn}: {way}: {rates[way][-1]:.1f} episodes/s")
    click.echo(table(rates))


if __name__ == "__main__":
    main()
