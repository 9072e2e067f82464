"""Whether a reward's doubts are where it is wrong: heads fitted to labels, on pairs held out.

    python -m benchmarks.label_efficiency.calibration
    python -m benchmarks.label_efficiency.calibration --heads epistemic --budgets 256 --seeds 1 2 3

An offline arm's labels are asked, and heads of each kind fitted to them, as before the first step
of a run; then fresh pairs of ρ's responses are put to them, each with the chance that the labeler
prefers the first, which is known. Prints how often the reward is right by how sure it is, and how
the spread of its particles goes with its error, where selectors read it: on the scale of
preferences, and on that of the logits. Minutes on one core; nothing is kept.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import fmean

import click
import matplotlib
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr

from benchmarks.label_efficiency.__main__ import TASKS
from benchmarks.label_efficiency.arms import ARMS
from benchmarks.label_efficiency.cases import FOLDER
from benchmarks.label_efficiency.recipe import LABELER, reward_model_config
from benchmarks.label_efficiency.training import Run
from benchmarks.label_efficiency.world import World, make_world
from label_queue.simulated.choice import choice_probabilities
from learners.engine import free_port, join_ranks, leave_ranks

matplotlib.use("agg")
from matplotlib import pyplot

ARM = ARMS["offline-uniform-k2"]
HEADS = {"epistemic": "epistemic", "bootstrap": "linear"}
"""What makes the particles: the reward model's setting, by what tables call it."""
NUM_PAIRS = 1_500
EDGES = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
"""Where the bins begin and end into which it is sorted how sure a reward is."""

Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What a reward's M particles say of N pairs, and what is so."""

    differences: Numbers
    """[N, M], r₁ − r₂ of each particle, at the scale at which it learned."""
    chances: Numbers
    """[N], how likely the labeler prefers the first."""

    @property
    def preferences(self) -> Numbers:
        """[N, M], σ(r₁ − r₂) of each particle."""
        return 1.0 / (1.0 + np.exp(-self.differences))

    @property
    def predicted(self) -> Numbers:
        """[N], the chance as the particles' mean has it."""
        mean: Numbers = self.preferences.mean(axis=1)
        return mean

    def correlations(self) -> tuple[float, float, float]:
        """Return Spearman's rank correlations of the particles' spread with the reward's error.

        Of the spread of σ(r₁ − r₂) with the error of the predicted chance; of the spread of r₁ − r₂
        with the same; and with the error of the mean r₁ − r₂, beside the chance's own logit.
        """
        of_chance = np.abs(self.predicted - self.chances)
        logits = np.log(self.chances / (1.0 - self.chances))
        of_logit = np.abs(self.differences.mean(axis=1) - logits)
        spread, spread_of_logits = self.preferences.std(axis=1), self.differences.std(axis=1)
        return (
            float(spearmanr(spread, of_chance).statistic),
            float(spearmanr(spread_of_logits, of_chance).statistic),
            float(spearmanr(spread_of_logits, of_logit).statistic),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Bin:
    """Pairs of which a reward is about as sure."""

    said: float
    """Mean chance that it gives the response it prefers."""
    so: float
    """Mean chance that the labeler prefers that one."""
    num_pairs: int


def bins(judged: Sequence[Judged]) -> list[Bin]:
    """Return pairs by how sure a reward is of the one it prefers; without those of no pair."""
    predicted = np.concatenate([each.predicted for each in judged])
    chances = np.concatenate([each.chances for each in judged])
    first = predicted >= 0.5
    said = np.where(first, predicted, 1.0 - predicted)
    so = np.where(first, chances, 1.0 - chances)
    places = np.digitize(said, EDGES[1:-1])
    return [
        Bin(said=float(said[here].mean()), so=float(so[here].mean()), num_pairs=int(here.sum()))
        for place in range(len(EDGES) - 1)
        if (here := places == place).any()
    ]


def expected_error(found: Sequence[Bin]) -> float:
    """Return the expected calibration error: |said − so| of the bins, by their pairs."""
    total = sum(each.num_pairs for each in found)
    return sum(abs(each.said - each.so) * each.num_pairs for each in found) / total


def reliability_table(series: Mapping[str, Sequence[Judged]]) -> str:
    """Return what is so by what was said, as a Markdown table: one row a kind of heads."""
    ranges = [f"{low:.0%} to {high:.0%}" for low, high in pairwise(EDGES)]
    lines = [
        f"| said → so (pairs) | {' | '.join(ranges)} | expected error |",
        f"| --- |{' ---: |' * (len(ranges) + 1)}",
    ]
    for name, judged in series.items():
        found = bins(judged)
        cells = dict.fromkeys(range(len(ranges)), "–")
        for each in found:
            place = int(np.digitize(each.said, EDGES[1:-1]))
            cells[place] = f"{each.said:.0%} → {each.so:.0%} ({each.num_pairs:,})"
        row = " | ".join(cells.values())
        lines.append(f"| {name} | {row} | {100 * expected_error(found):.1f} points |")
    return "\n".join(lines)


def correlation_table(series: Mapping[str, Sequence[Judged]]) -> str:
    """Return how spread goes with error, as a Markdown table of rank correlations over seeds."""
    lines = [
        "| spread | of preferences, error of the chance | of logits, error of the chance "
        "| of logits, error of the logit |",
        "| --- | ---: | ---: | ---: |",
    ]
    for name, judged in series.items():
        found = zip(*(each.correlations() for each in judged), strict=True)
        lines.append(f"| {name} | {' | '.join(f'{fmean(each):+.2f}' for each in found)} |")
    return "\n".join(lines)


def draw(series: Mapping[str, Sequence[Judged]], path: Path) -> None:
    """Draw the reliability diagram."""
    figure, axes = pyplot.subplots(figsize=(5.5, 4.5), layout="constrained")
    axes.plot([0.5, 1.0], [0.5, 1.0], color="k", linestyle=":", label="as sure as it should be")
    for name, judged in series.items():
        found = bins(judged)
        axes.plot([each.said for each in found], [each.so for each in found], "o-", label=name)
    axes.set(
        xlabel="chance that the reward gives what it prefers",
        ylabel="chance that the labeler prefers it",
    )
    axes.legend(fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def judge(world: World, heads: str, budget: int, seed: int, num_pairs: int = NUM_PAIRS) -> Judged:
    """Fit heads to labels, and put pairs to them that they have not seen.

    `engine.join_ranks` comes first.

    Args:
        world: The task.
        heads: One of `HEADS`.
        budget: Labels.
        seed: Of everything that is drawn.
        num_pairs: N.
    """
    model = reward_model_config(ARM).model_copy(update={"heads": HEADS[heads]})
    with tempfile.TemporaryDirectory() as place:
        run = Run(world, ARM, budget, seed, Path(place) / "run", reward_model=model)
        differences, golds = run.fitted_on_held_out(num_pairs)
        run.close()
    chances = [choice_probabilities(pair, LABELER)[0] for pair in golds]
    return Judged(differences=differences, chances=np.array(chances))


def main() -> None:
    """Fit what the command line asks for, print the tables and draw the diagram."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--task", choices=TASKS, default="reviews")
    parser.add_argument("--heads", nargs="+", choices=list(HEADS), default=list(HEADS))
    parser.add_argument("--budgets", type=int, nargs="+", default=[256, 1_024])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--figure", type=Path, default=FOLDER / "calibration.png")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    join_ranks(0, 1, "127.0.0.1", free_port("127.0.0.1"))
    try:
        world = make_world(chosen.task, FOLDER)
        series = {
            f"{heads}, {budget:,} labels": [
                judge(world, heads, budget, seed) for seed in chosen.seeds
            ]
            for heads in chosen.heads
            for budget in chosen.budgets
        }
    finally:
        leave_ranks()
    click.echo(f"{reliability_table(series)}\n\n{correlation_table(series)}")
    draw(series, chosen.figure)
    click.echo(f"\n{chosen.figure}")


if __name__ == "__main__":
    main()
