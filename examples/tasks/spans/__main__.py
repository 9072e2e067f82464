"""The same comparisons with and without marks, at several budgets of labels; see README.md.

    python -m examples.tasks.spans
    python -m examples.tasks.spans --budgets 64 --seeds 1 --processes 1

Each run is a process of its own on one thread, and its result is kept with those of
`benchmarks.label_efficiency`; what is there already is read, not run again. The table is Markdown;
the figure lies under `runs/label-efficiency/`.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from benchmarks.label_efficiency.arms import ARMS, BASELINE, MARK_COEFFICIENTS, MARKED
from benchmarks.label_efficiency.cases import (
    FOLDER,
    Case,
    in_a_cell,
    offer_before,
    over_seeds,
    run_all,
)
from examples.tasks.spans.figure import draw

TASK = "reviews"
BUDGETS = (64, 256, 1024)
Lines = Mapping[str, Mapping[int, Sequence[Case]]]
"""Runs, one a seed, by what the legend says and by how many labels there are."""


def lines_of(
    budgets: Sequence[int],
    seeds: Sequence[int],
    coefficients: Sequence[float] = MARK_COEFFICIENTS,
    kept_recipe: str = "",
) -> Lines:
    """Return what is compared."""
    arms = {"no marks": ARMS[BASELINE]}
    arms |= {name_of(coefficient): MARKED[coefficient] for coefficient in coefficients}
    return {
        name: {budget: over_seeds(TASK, arm, budget, seeds, kept_recipe) for budget in budgets}
        for name, arm in arms.items()
    }


def name_of(coefficient: float) -> str:
    """Return what tables and legends call runs with marks."""
    return f"marks, {coefficient:g} a token" if coefficient else "marks, learned and not paid"


def table(lines: Lines) -> str:
    """Return runs as a Markdown table, mean ± standard error over seeds; see `in_a_cell`."""
    budgets = list(next(iter(lines.values())))
    rows = [f"| | {' | '.join(f'{budget:,} labels' for budget in budgets)} |"]
    rows.append(f"| --- |{' ---: |' * len(budgets)}")
    for name, line in lines.items():
        rows.append(f"| {name} | {' | '.join(in_a_cell(line[budget]) for budget in budgets)} |")
    return "\n".join(rows)


def main() -> None:
    """Run what the command line asks for, print the table and draw the figure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--budgets", type=int, nargs="+", default=list(BUDGETS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument(
        "--coefficients",
        type=float,
        nargs="+",
        choices=MARK_COEFFICIENTS,
        default=list(MARK_COEFFICIENTS),
    )
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--figure", type=Path, default=FOLDER / "spans.png")
    offer_before(parser)
    chosen = parser.parse_args()
    lines = lines_of(chosen.budgets, chosen.seeds, chosen.coefficients, chosen.kept_recipe)
    every = [case for line in lines.values() for cases in line.values() for case in cases]
    run_all(every, chosen.processes)
    click.echo(f"\n{table(lines)}")
    draw(lines, chosen.figure)
    click.echo(f"\n{chosen.figure}")


if __name__ == "__main__":
    main()
