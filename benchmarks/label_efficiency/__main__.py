"""Runs every arm at every budget and seed, and draws gold against labels.

    python -m benchmarks.label_efficiency
    python -m benchmarks.label_efficiency --tasks letters --seeds 1 --budgets 256 --processes 1

Each run is a process of its own on one thread, and its result a line of `results.jsonl` beside this
file; what is there of the same recipe is read, not run again, so that a series of hours can be
interrupted, and go on elsewhere. What is compared is gold while the KL was at its target; a second
table has where the policies ended. The tables are Markdown, as in docs/fewer_labels.md; the figure
lies under `runs/label-efficiency/`.
"""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean

import click

from benchmarks.label_efficiency.arms import ARMS, BASELINE
from benchmarks.label_efficiency.cases import (
    FOLDER,
    Case,
    at_target,
    offer_before,
    run_all,
    with_error,
)
from benchmarks.label_efficiency.figure import draw
from benchmarks.label_efficiency.world import kl_target

TASKS = ("reviews", "letters")
BUDGETS = (64, 256, 1_024, 4_096)
SEEDS = (1, 2, 3, 4, 5)
GOLD_ITSELF = "gold-itself"
"""The arm whose reward is the gold score, held where the task's others are; it asks nobody."""

Curve = Mapping[int, Sequence[float]]
"""Gold of each seed, by budget."""
Cells = Mapping[str, Mapping[int, Sequence[Case]]]
"""Runs, one a seed, by arm and budget."""


def cells_of(cases: Iterable[Case]) -> Cells:
    """Return runs by arm and budget."""
    found: dict[str, dict[int, list[Case]]] = {}
    for case in cases:
        found.setdefault(case.arm, {}).setdefault(case.budget, []).append(case)
    return found


def curves(cells: Cells) -> Mapping[str, Curve]:
    """Return each arm's gold at the target KL, by budget and seed, of the runs that were there."""
    return {
        arm: {
            budget: golds
            for budget, cases in by_budget.items()
            if (golds := [fmean(found) for case in cases if (found := case.golds_at_target)])
        }
        for arm, by_budget in cells.items()
    }


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


def table(cells: Cells) -> str:
    """Return a task's gold at the target KL as a Markdown table, of how many steps in brackets."""
    found, budgets = curves(cells), _budgets(cells)
    most = budgets[-1]
    baseline = found.get(BASELINE, {}).get(most)
    goal = fmean(baseline) if baseline else None
    lines = [
        f"| arm | {' | '.join(map(_shown, budgets))} | labels for {BASELINE}'s |",
        f"| --- | {' | '.join('---:' for _ in budgets)} | ---: |",
    ]
    for name, by_budget in cells.items():
        row = [at_target(by_budget[each]) if each in by_budget else "–" for each in budgets]
        needed = None if goal is None or 0 in by_budget else labels_to_reach(found[name], goal)
        last = "–" if needed is None else f"{needed:,.0f} ({most / needed:.1f}× fewer)"
        lines.append(f"| {name} | {' | '.join(row)} | {last} |")
    return "\n".join(lines)


def ends_table(cells: Cells) -> str:
    """Return gold of the last policies and how far from ρ they are, as a Markdown table."""
    budgets = _budgets(cells)
    lines = [
        f"| gold at the end, KL in brackets | {' | '.join(map(_shown, budgets))} |",
        f"| --- | {' | '.join('---:' for _ in budgets)} |",
    ]
    for name, by_budget in cells.items():
        row = [_end(by_budget.get(budget, ())) for budget in budgets]
        lines.append(f"| {name} | {' | '.join(row)} |")
    return "\n".join(lines)


def _budgets(cells: Cells) -> list[int]:
    return sorted({budget for by_budget in cells.values() for budget in by_budget})


def _shown(budget: int) -> str:
    return f"{budget:,}" if budget else "none"


def _end(cases: Sequence[Case]) -> str:
    if not cases:
        return "–"
    kl = fmean(case.result["kl"] for case in cases)
    return f"{with_error([case.gold for case in cases])} ({kl:.0f})"


def cases_of(
    task: str,
    arms: Sequence[str],
    budgets: Sequence[int],
    seeds: Sequence[int],
    kept_recipe: str = "",
) -> list[Case]:
    """Return a task's runs, seed by seed; of a recipe that is gone those that were kept."""
    pairs = [
        (f"direct-kl{kl_target(task):g}", 0) if arm == GOLD_ITSELF else (arm, budget)
        for budget in budgets
        for arm in arms
    ]
    cases = [
        Case(task=task, arm=arm, budget=budget, seed=seed, kept_recipe=kept_recipe)
        for seed in seeds
        for arm, budget in dict.fromkeys(pairs)
    ]
    return [case for case in cases if case.is_kept] if kept_recipe else cases


def main() -> None:
    """Run what the command line asks for, print the tables and draw the figure."""
    names = [*ARMS, GOLD_ITSELF]
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--arms", nargs="+", choices=sorted(names), default=names)
    parser.add_argument("--budgets", type=int, nargs="+", default=list(BUDGETS))
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    offer_before(parser)
    chosen = parser.parse_args()
    asked = chosen.arms, chosen.budgets, chosen.seeds, chosen.kept_recipe
    found = {task: cases_of(task, *asked) for task in chosen.tasks}
    if not any(found.values()):
        parser.error("of none of these runs a result is kept: leave --before out to make them")
    run_all([case for cases in found.values() for case in cases], chosen.processes)
    cells = {task: cells_of(cases) for task, cases in found.items() if cases}
    for task, each in cells.items():
        click.echo(f"\n{task}, at KL {kl_target(task):g}\n\n{table(each)}\n\n{ends_table(each)}")
    draw({task: curves(each) for task, each in cells.items()}, FOLDER / "label_efficiency.png")


if __name__ == "__main__":
    main()
