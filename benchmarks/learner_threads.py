"""A learner's episodes a second on one thread and on two, beside whatever else runs.

    python -m benchmarks.learner_threads [--turns 3] [--critic separate]

PPO steps on one rank: a GPT-2 of 0.9 M weights, prompts of 8 tokens, responses of 24, batches of
128 episodes, four epochs of four minibatches. Two threads run a pass each, by
`learners/side_by_side.py`; what they would do within operations is given too: that is what
`torch.set_num_threads(2)` does of itself. The ways take turns, each in a process of its own;
figures are medians over the turns.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

import click
import torch

from benchmarks.against_trl.task import write_model
from benchmarks.learner_lengths import lone_learner, make_batch
from benchmarks.programs import run_program
from learners.config import PPOConfig

ROWS, RESPONSE_TOKENS = 128, 24
STEPS = 3
"""Measured of each turn, after one that is not."""


def measure(critic: str, threads: int, *, within_operations: bool) -> float:
    """Return episodes a second of a few steps in this process."""
    rng = random.Random(1)
    ppo = PPOConfig.model_validate({"batch_size": ROWS, "lr": 1e-6, "critic": critic})
    with tempfile.TemporaryDirectory() as name:
        model = write_model(Path(name) / "model")
        own = 1 if within_operations else threads
        with lone_learner(Path(name), model, ppo, torch_threads=own) as learner:
            if within_operations:
                torch.set_num_threads(threads)
            learner.announce()
            seconds = []
            for step in range(STEPS + 1):
                batch = make_batch(step, [RESPONSE_TOKENS] * ROWS, rng)
                started = time.perf_counter()
                learner.step(batch)
                seconds.append(time.perf_counter() - started)
    return ROWS / median(seconds[1:])


def in_a_process(*arguments: str) -> float:
    """Measure one way in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.learner_threads", "--one", *arguments]
    done = run_program(command, stdout=subprocess.PIPE, text=True)
    return float(done.stdout.split()[-1])


def main() -> None:
    """Run from the command line; see the module."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--critic", choices=("shared", "separate"), default="shared")
    parser.add_argument("--one", nargs=2, metavar=("THREADS", "HOW"), help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.one is not None:
        threads, how = chosen.one
        rate = measure(chosen.critic, int(threads), within_operations=how == "within")
        click.echo(f"{rate:.2f}")
        return
    critic = ("--critic", chosen.critic)
    ways: dict[str, Callable[[], float]] = {
        "one thread": partial(in_a_process, "1", "passes", *critic),
        "two, a pass each": partial(in_a_process, "2", "passes", *critic),
        "two, within operations": partial(in_a_process, "2", "within", *critic),
    }
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(chosen.turns):
        for name, way in ways.items():
            rates[name].append(way())
    alone = median(rates["one thread"])
    click.echo("| learner | episodes/s | of one thread's |\n| --- | ---: | ---: |")
    for name, each in rates.items():
        click.echo(f"| {name} | {median(each):.1f} | {median(each) / alone:.2f} |")


if __name__ == "__main__":
    main()
