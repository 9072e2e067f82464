"""What the controller costs for each rollout: CPU time of its process, where engines cost nothing.

    python -m benchmarks.controller_cost [--actors 1 4 16 64] [--steps 40]

The real controller, journal, recordings, rows of metrics and label queue, on fake parts that answer
at once. All labels come before the first step. Runs of two lengths are taken of each
size; what a run costs by itself is the same in both, so told is the difference, over the rollouts
that the longer one has more.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from pathlib import Path

import click

from tests.support.controller_world import World, small_config
from tests.support.parts import FakeActor

BATCH = 512


async def cpu_s(num_actors: int, steps: int) -> float:
    """Return the CPU time of a run, in seconds."""
    config = small_config(mode="offline", episodes=steps * BATCH, max_policy_lag=2)
    ppo = config.ppo.model_copy(update={"batch_size": BATCH})
    rollouts = config.rollouts.model_copy(update={"requests_per_call": 16})
    config = config.model_copy(update={"ppo": ppo, "rollouts": rollouts})
    with tempfile.TemporaryDirectory() as folder:
        actors = [FakeActor() for _ in range(num_actors)]
        world = World(Path(folder), actors=actors, config=config)
        started = time.process_time()
        await world.controller().run()
        passed = time.process_time() - started
        await world.close()
    return passed


def main() -> None:
    """Run from the command line; see the module."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--actors", type=int, nargs="+", default=[1, 4, 16, 64])
    parser.add_argument("--steps", type=int, default=40)
    chosen = parser.parse_args()
    click.echo("| actors | ms a rollout |\n| ---: | ---: |")
    for number in chosen.actors:
        short, long = (asyncio.run(cpu_s(number, n * chosen.steps)) for n in (1, 2))
        click.echo(f"| {number} | {(long - short) / (chosen.steps * BATCH) * 1e3:.3f} |")


if __name__ == "__main__":
    main()
