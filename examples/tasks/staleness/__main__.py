"""Naive and decoupled PPO over lags, and a noisy sampler with and without weights; see README.md.

    python -m examples.tasks.staleness
    python -m examples.tasks.staleness --seeds 1 --processes 1

Each run is a process of its own on one thread, and its result is kept with those of
`benchmarks.label_efficiency`; what is there already is read, not run again. The tables are
Markdown; the figure lies under `runs/label-efficiency/`.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from benchmarks.label_efficiency.arms import DIRECT, LAGS, MISMATCHED, NOISES, STALE
from benchmarks.label_efficiency.cases import (
    FOLDER,
    Case,
    in_a_cell,
    offer_before,
    over_seeds,
    run_all,
)
from examples.tasks.staleness.figure import draw

TASK = "reviews"
Lines = Mapping[str, Mapping[str, Sequence[Case]]]
"""Runs, one a seed, by what the legend says and by where they stand on the axis."""


def free_lags_of(seeds: Sequence[int], kept_recipe: str = "") -> Lines:
    """Return the runs over lags in which hardly any KL is paid, by objective."""
    return lags_of(seeds, kept_recipe, is_free=True)


def lags_of(seeds: Sequence[int], kept_recipe: str = "", *, is_free: bool = False) -> Lines:
    """Return the runs over lags, by objective."""
    return {
        objective: {
            lag_name(lag): over_seeds(TASK, STALE[objective, lag, is_free], 0, seeds, kept_recipe)
            for lag in LAGS
        }
        for objective in ("decoupled", "naive")
    }


def noises_of(seeds: Sequence[int], kept_recipe: str = "") -> Lines:
    """Return the runs over the sampler's noise, by whether its ratio weighs tokens."""
    exact = {"0": over_seeds(TASK, DIRECT["direct-kl8"], 0, seeds, kept_recipe)}
    return {
        name: exact
        | {
            f"{noise:g}": over_seeds(TASK, MISMATCHED[weighed, noise], 0, seeds, kept_recipe)
            for noise in NOISES
        }
        for name, weighed in (("weighed, w ≤ 2", True), ("not weighed", False))
    }


AXES = {
    "free": ("lag, versions; hardly any KL is paid", free_lags_of),
    "lag": ("lag, versions; the KL is held at 8", lags_of),
    "noise": ("noise of the sampler's logits, σ; the KL is held at 8", noises_of),
}
"""What is compared over what, by what the command line calls it."""


def lag_name(lag: int | None) -> str:
    """Return a lag as it is shown."""
    return "∞" if lag is None else str(lag)


def table(lines: Lines, axis: str) -> str:
    """Return runs as a Markdown table, mean ± standard error over seeds; see `in_a_cell`."""
    rows = [f"| {axis} | {' | '.join(lines)} |", f"| ---: |{' ---: |' * len(lines)}"]
    for place in next(iter(lines.values())):
        cells = [in_a_cell(line[place]) for line in lines.values()]
        rows.append(f"| {place} | {' | '.join(cells)} |")
    return "\n".join(rows)


def main() -> None:
    """Run what the command line asks for, print the tables and draw the figure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--figure", type=Path, default=FOLDER / "staleness.png")
    parser.add_argument("--axes", nargs="+", choices=list(AXES), default=list(AXES))
    offer_before(parser)
    chosen = parser.parse_args()
    panels = {}
    for name in chosen.axes:
        axis, runs_of = AXES[name]
        panels[axis] = runs_of(chosen.seeds, chosen.kept_recipe)
    every = [
        case
        for lines in panels.values()
        for line in lines.values()
        for cases in line.values()
        for case in cases
    ]
    run_all(list(dict.fromkeys(every)), chosen.processes)
    for axis, lines in panels.items():
        click.echo(f"\n{table(lines, axis)}")
    draw(panels, chosen.figure)
    click.echo(f"\n{chosen.figure}")


if __name__ == "__main__":
    main()
