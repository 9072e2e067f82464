"""Direct reward against label budgets at one KL, KL targets, and the frontier; see README.md.

    python -m examples.tasks.style
    python -m examples.tasks.style --tasks descriptiveness --budgets 64 --targets 8 --processes 1

Each run is a process of its own on one thread, and its result is kept with those of
`benchmarks.label_efficiency`; what is there already is read, not run again. The tables are
Markdown; the figure lies under `runs/label-efficiency/`.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

import click

from benchmarks.label_efficiency.arms import EVERY, TARGETS
from benchmarks.label_efficiency.cases import (
    FOLDER,
    Case,
    at_target,
    offer_before,
    over_seeds,
    run_all,
)
from benchmarks.label_efficiency.world import make_world
from examples.tasks.style.figure import Series, draw
from examples.tasks.style.frontier import Point, frontier, gold_at, reference_golds

TASKS = {"sentiment": "reviews", "descriptiveness": "descriptiveness"}
"""What the paper calls a task, and its name among the golds."""
BUDGETS = (256, 1_024, 4_096)
"""N₁ < N₂ < N₃."""
LEARNED_KL = 8.0
"""Target of the runs whose reward is learned, and of the direct one beside them."""
LEARNED = "online-uniform-k4"


def cases_of(
    task: str, budgets: Sequence[int], seeds: Sequence[int], kept_recipe: str = ""
) -> dict[str, list[Case]]:
    """Return the learned runs of a task, by what the legend says."""
    return {
        f"{budget:,} labels": over_seeds(TASKS[task], EVERY[LEARNED], budget, seeds, kept_recipe)
        for budget in budgets
    }


def direct_of(
    task: str, targets: Sequence[float], seeds: Sequence[int], kept_recipe: str = ""
) -> dict[str, list[Case]]:
    """Return the direct runs of a task, by what the legend says."""
    return {
        f"direct, KL {target:g}": over_seeds(
            TASKS[task], EVERY[f"direct-kl{target:g}"], 0, seeds, kept_recipe
        )
        for target in targets
    }


def table(series: Series, points: Sequence[Point], base: float, best: float) -> str:
    """Return the ends of all runs as a Markdown table.

    Args:
        series: Runs by name.
        points: The frontier.
        base: Mean gold of ρ.
        best: Mean gold of the direct run at the learned ones' KL.
    """
    lines = [
        "| run | gold | of direct's gain | KL | the frontier there | gold at the target KL |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, cases in series.items():
        gold, kl = fmean(c.gold for c in cases), fmean(c.result["kl"] for c in cases)
        share = (gold - base) / (best - base)
        top = gold_at(points, kl)
        there = "–" if top is None else f"{top:+.2f}"
        end = f"{gold:+.2f} | {share:.0%} | {kl:.1f} | {there}"
        lines.append(f"| {name} | {end} | {at_target(cases)} |")
    return "\n".join(lines)


def main() -> None:
    """Run what the command line asks for, print the tables and draw the figure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tasks", nargs="+", choices=sorted(TASKS), default=list(TASKS))
    parser.add_argument("--budgets", type=int, nargs="+", default=list(BUDGETS))
    parser.add_argument("--targets", type=float, nargs="+", choices=TARGETS, default=list(TARGETS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--figure", type=Path, default=FOLDER / "style.png")
    offer_before(parser)
    chosen = parser.parse_args()
    targets = sorted({*chosen.targets, LEARNED_KL})
    of_runs = chosen.seeds, chosen.kept_recipe
    learned = {task: cases_of(task, chosen.budgets, *of_runs) for task in chosen.tasks}
    direct = {task: direct_of(task, targets, *of_runs) for task in chosen.tasks}
    every = [
        case
        for of in (direct, learned)
        for each in of.values()
        for cases in each.values()
        for case in cases
    ]
    run_all(every, chosen.processes)
    shown = {}
    for task in chosen.tasks:
        golds = reference_golds(make_world(TASKS[task], FOLDER), seed=1)
        points = frontier(golds)
        beside = direct[task][f"direct, KL {LEARNED_KL:g}"]
        all_runs = {**direct[task], **learned[task]}
        base, best = float(golds.mean()), fmean(case.gold for case in beside)
        click.echo(f"\n{task}: ρ {base:+.2f}\n\n{table(all_runs, points, base, best)}")
        shown[task] = ({"direct": beside, **learned[task]}, all_runs, points)
    draw(shown, chosen.figure)
    click.echo(f"\n{chosen.figure}")


if __name__ == "__main__":
    main()
