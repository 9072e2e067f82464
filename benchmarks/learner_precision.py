"""Whether learning with products in bfloat16 comes to what it comes to in float32.

    python -m benchmarks.learner_precision [--seeds 1 2 3 4 5] [--episodes 4096] [--labels 256]

The same run in both types (`learner.matmul_dtype`) at each seed: PPO, reward fits, schedule and
labelers as in Andon, in one process and on one thread, on the reviews of the demo; see
`benchmarks/label_efficiency`. Both draw from the same random numbers, until rounding turns the
first token round. The table is Markdown; beside each difference stands its standard error over the
seeds. Two runs go at a time, each on a core.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

import click
import torch

from benchmarks.label_efficiency.arms import ARMS
from benchmarks.label_efficiency.recipe import ENGINE
from benchmarks.label_efficiency.training import Run
from benchmarks.label_efficiency.world import make_world
from benchmarks.programs import heard, run_program
from benchmarks.spread import standard_error
from learners.engine import free_port, join_ranks, leave_ranks

WORLDS = Path("runs/label-efficiency")
TASK, ARM = "reviews", "online-uniform-k4"
TYPES = ("float32", "bfloat16")
FIGURES: dict[str, Callable[[dict[str, Any]], float]] = {
    "gold at the end": lambda run: run["gold"],
    "gold, mean of the run": lambda run: fmean(row["gold"] for row in run["rows"]),
    "KL at the end, nats": lambda run: run["kl"],
    "seconds": lambda run: run["seconds"],
}


def learn(matmul_dtype: str, seed: int, labels: int, episodes: int) -> dict[str, Any]:
    """Return what a run in this process came to, with its curve."""
    torch.set_num_threads(1)
    join_ranks(0, 1, "127.0.0.1", free_port("127.0.0.1"))
    try:
        world = make_world(TASK, WORLDS)
        engine = ENGINE.model_copy(update={"matmul_dtype": matmul_dtype})
        with tempfile.TemporaryDirectory() as place:
            run = Run(world, ARMS[ARM], labels, seed, Path(place) / "run", episodes, engine)
            return run.result()
    finally:
        leave_ranks()


def in_a_process(labels: int, episodes: int, case: tuple[str, int]) -> dict[str, Any]:
    """Return what a run in a process of its own came to."""
    matmul_dtype, seed = case
    sizes = ("--labels", str(labels), "--episodes", str(episodes))
    module = (sys.executable, "-m", "benchmarks.learner_precision")
    done = run_program(
        [*module, *sizes, "--one", matmul_dtype, str(seed)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    click.echo(f"seed {seed}, {matmul_dtype}: gold {result['gold']:+.2f}")
    return result


def table(pairs: Sequence[tuple[dict[str, Any], dict[str, Any]]]) -> str:
    """Return the means of pairs of runs and of their differences, as Markdown."""
    lines = [
        f"| mean over {len(pairs)} seeds | {' | '.join(TYPES)} | difference | s.e. |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for name, figure in FIGURES.items():
        both = [[figure(run) for run in pair] for pair in pairs]
        means = [fmean(column) for column in zip(*both, strict=True)]
        differences = [second - first for first, second in both]
        error = standard_error(differences)
        cells = [f"{mean:.2f}" for mean in means]
        lines.append(f"| {name} | {' | '.join(cells)} | {fmean(differences):+.2f} | {error:.2f} |")
    return "\n".join(lines)


def main() -> None:
    """Run from the command line; see the module."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--episodes", type=int, default=4096)
    parser.add_argument("--labels", type=int, default=256)
    parser.add_argument("--one", nargs=2, metavar=("TYPE", "SEED"), help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.one is not None:
        matmul_dtype, seed = chosen.one
        result = learn(matmul_dtype, int(seed), chosen.labels, chosen.episodes)
        click.echo(json.dumps(result))
        return
    if len(chosen.seeds) < 2:
        parser.error("--seeds: give at least two, or there is no standard error")
    # First and alone: two runs must not make one base model at once.
    run_program([sys.executable, "-m", "benchmarks.label_efficiency.one", TASK])
    run = partial(in_a_process, chosen.labels, chosen.episodes)
    cases = [(matmul_dtype, seed) for seed in chosen.seeds for matmul_dtype in TYPES]
    with heard(), ThreadPoolExecutor(2) as pool:
        runs = list(pool.map(run, cases))
    click.echo(table(list(zip(runs[::2], runs[1::2], strict=True))))


if __name__ == "__main__":
    main()
