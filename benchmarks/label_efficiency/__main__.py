"""Runs every arm at every budget and seed, and draws gold against labels.

    python -m benchmarks.label_efficiency
    python -m benchmarks.label_efficiency --tasks letters --seeds 1 --budgets 256 --processes 1

Each run is a process of its own on one thread, and its result a line of `results.jsonl` beside this
file; what is there already is read, not run again, so that a series of hours can be interrupted,
and go on elsewhere. The table is Markdown, as in docs/results.md; the figure lies under
`runs/label-efficiency/`.
"""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean, stdev

import click

from benchmarks.label_efficiency.arms import ARMS, BASELINE
from benchmarks.label_efficiency.cases import FOLDER, Case, run_all
from benchmarks.label_efficiency.figure import draw

TASKS = ("reviews", "letters")
BUDGETS = (64, 256, 1_024, 4_096)
SEEDS = (1, 2, 3, 4, 5)


Curve = Mapping[int, Sequence[float]]
"""Gold of each seed, by budget."""


def curves(cases: Iterable[Case], figure: str = "gold") -> Mapping[str, Curve]:
    """Return each arm's gold at the end, or its KL, by budget and seed."""
    found: dict[str, dict[int, list[float]]] = {}
    for case in cases:
        found.setdefault(case.arm, {}).setdefault(case.budget, []).append(
            float(case.result[figure])
        )
    return found


def labels_to_reach(curve: Curve, gold: float) -> float | None:
    """Return the labels at which a curve first reaches a gold, by the logarithm between budgets.

    None where it never does; the smallest budget where it does from the start.
    """
    before: tuple[float, float] | None = None
    for budget in sorted(curve):
        here = math.log(budget), fmean(curve[budget])
        if here[1] >= gold:
            if before is None:
                return float(budget)
            share = (gold - before[1]) / (here[1] - before[1])
            return math.exp(before[0] + share * (here[0] - before[0]))
        before = here
    return None


def table(found: Mapping[str, Curve]) -> str:
    """Return a task's curves as a Markdown table."""
    budgets = sorted({budget for curve in found.values() for budget in curve})
    most = budgets[-1]
    goal = fmean(found[BASELINE][most]) if BASELINE in found else None
    lines = [
        f"| arm | {' | '.join(f'{budget:,}' for budget in budgets)} | labels for {BASELINE}'s |",
        f"| --- | {' | '.join('---:' for _ in budgets)} | ---: |",
    ]
    for name, curve in found.items():
        cells = [_cell(curve.get(budget, ())) for budget in budgets]
        needed = None if goal is None else labels_to_reach(curve, goal)
        last = "–" if needed is None else f"{needed:,.0f} ({most / needed:.1f}× fewer)"
        lines.append(f"| {name} | {' | '.join(cells)} | {last} |")
    return "\n".join(lines)


def kl_table(found: Mapping[str, Curve]) -> str:
    """Return how far from ρ each arm ended, as a Markdown table: golds compare at equal KL."""
    budgets = sorted({budget for curve in found.values() for budget in curve})
    lines = [
        f"| KL at the end, nats | {' | '.join(f'{budget:,}' for budget in budgets)} |",
        f"| --- | {' | '.join('---:' for _ in budgets)} |",
    ]
    for name, curve in found.items():
        cells = [_cell(curve.get(budget, ())) for budget in budgets]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(golds: Sequence[float]) -> str:
    if not golds:
        return "–"
    spread = f" ± {stdev(golds):.2f}" if len(golds) > 1 else ""
    return f"{fmean(golds):+.2f}{spread}"


def main() -> None:
    """Run what the command line asks for, print the tables and draw the figure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--arms", nargs="+", choices=sorted(ARMS), default=list(ARMS))
    parser.add_argument("--budgets", type=int, nargs="+", default=list(BUDGETS))
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    chosen = parser.parse_args()
    cases = [
        Case(task=task, arm=arm, budget=budget, seed=seed)
        for seed in chosen.seeds
        for task in chosen.tasks
        for budget in chosen.budgets
        for arm in chosen.arms
    ]
    run_all(cases, chosen.processes)
    found = {task: curves(case for case in cases if case.task == task) for task in chosen.tasks}
    for task, each in found.items():
        kls = curves((case for case in cases if case.task == task), "kl")
        click.echo(f"\n{task}\n\n{table(each)}\n\n{kl_table(kls)}")
    draw(found, FOLDER / "label_efficiency.png")


if __name__ == "__main__":
    main()
