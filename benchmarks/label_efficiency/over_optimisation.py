"""How far a reward of N labels leads before the hidden score falls, and how far online refits do.

    python -m benchmarks.label_efficiency.over_optimisation

With a low, fixed β the policy goes as far as the reward leads. Gao et al. 2023 found for PPO
gold(d) = d·(α − β·log d) with d = √KL; it is fitted to gold and to the learned score of each arm
and budget, over all seeds, by least squares.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import click
import matplotlib
import numpy as np
from numpy.typing import NDArray

from benchmarks.label_efficiency.__main__ import BUDGETS, SEEDS, TASKS
from benchmarks.label_efficiency.arms import FREE
from benchmarks.label_efficiency.cases import FOLDER, Case, offer_before, run_all

matplotlib.use("agg")
from matplotlib import pyplot

LEAST_KL = 0.25
"""Nats; below it the form says nothing, and noise is all there is."""

TITLES = {"offline": "all labels before the first step", "online": "labels while the policy trains"}
"""What each mode is called above its panel."""

SCORES = {"gold": "-", "score": ":"}
"""The hidden score and the learned one, each with its line."""

Points = NDArray[np.float64]
Groups = Mapping[tuple[str, int], Sequence[Case]]
"""The runs of each arm and budget, one a seed."""


def fitted(distance: Points, gain: Points) -> tuple[float, float]:
    """Return α and β of gain = d·(α − β·log d), by least squares.

    Args:
        distance: [N], d = √KL, above 0.
        gain: [N], a score less what ρ has.
    """
    terms = np.stack([distance, -distance * np.log(distance)], axis=1)
    (alpha, beta), *_ = np.linalg.lstsq(terms, gain, rcond=None)
    return float(alpha), float(beta)


def points(cases: Sequence[Case], score: str) -> tuple[Points, Points]:
    """Return d and the gain in a score of all steps of some runs, each from its own start."""
    distances: list[float] = []
    gains: list[float] = []
    for case in cases:
        first, *rows = case.result["rows"]
        for row in rows:
            if row["kl"] >= LEAST_KL:
                distances.append(row["kl"] ** 0.5)
                gains.append(row[score] - first[score])
    return np.array(distances), np.array(gains)


def form(distance: Points, alpha: float, beta: float) -> Points:
    """Return d·(α − β·log d)."""
    curve: Points = distance * (alpha - beta * np.log(distance))
    return curve


def table(groups: Groups) -> str:
    """Return what was fitted as a Markdown table."""
    lines = [
        "| arm | labels | score | α | β | at its highest, √KL | gold there |",
        "| --- | ---: | --- | ---: | ---: | ---: | ---: |",
    ]
    for (arm, budget), cases in groups.items():
        for score in SCORES:
            alpha, beta = fitted(*points(cases, score))
            # The form is highest where α − β·(log d + 1) = 0; with β ≤ 0 it only rises.
            top = float(np.exp(alpha / beta - 1)) if beta > 0 else float("inf")
            best = f"{top:.1f} | {beta * top:+.2f}" if np.isfinite(top) else "– | –"
            lines.append(f"| {arm} | {budget:,} | {score} | {alpha:.2f} | {beta:.2f} | {best} |")
    return "\n".join(lines)


def draw(groups: Groups, path: Path) -> None:
    """Draw the points of gold and the forms fitted to gold and score, one panel an arm."""
    figure, panels = pyplot.subplots(
        1, len(FREE), figsize=(12, 5), sharey=True, squeeze=False, layout="constrained"
    )
    panel_of = dict(zip(FREE, panels[0], strict=True))
    budgets = dict.fromkeys(budget for _, budget in groups)
    colours = {budget: f"C{place}" for place, budget in enumerate(budgets)}
    for (arm, budget), cases in groups.items():
        panel, colour = panel_of[arm], colours[budget]
        for score, line in SCORES.items():
            distance, gain = points(cases, score)
            along = np.linspace(LEAST_KL**0.5, distance.max(), 100)
            panel.plot(along, form(along, *fitted(distance, gain)), line, color=colour)
            if score == "gold":
                name = f"{budget:,} labels"
                panel.plot(distance, gain, ".", color=colour, markersize=5, alpha=0.5, label=name)
    for arm, panel in panel_of.items():
        panel.set(title=TITLES[FREE[arm].mode], xlabel="√KL (nats a response)")
        panel.set_ylabel("gain over ρ: gold (–), learned score (··)")
        panel.legend()
    figure.savefig(path, dpi=150)
    pyplot.close(figure)


def main() -> None:
    """Run what the command line asks for, print the fits and draw them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--task", choices=TASKS, default="reviews")
    parser.add_argument("--budgets", type=int, nargs="+", default=list(BUDGETS))
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    offer_before(parser)
    chosen = parser.parse_args()
    groups = {
        (arm, budget): [
            Case(
                task=chosen.task,
                arm=arm,
                budget=budget,
                seed=seed,
                kept_recipe=chosen.kept_recipe,
            )
            for seed in chosen.seeds
        ]
        for arm in FREE
        for budget in chosen.budgets
    }
    run_all([case for group in groups.values() for case in group], chosen.processes)
    click.echo(table(groups))
    draw(groups, FOLDER / "over_optimisation.png")


if __name__ == "__main__":
    main()
