"""The task's figure: gold while training, and how much each system copies and how much is true."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np

from examples.tasks.curves import mean_curve
from examples.tasks.summaries.measures import Measures

matplotlib.use("agg")
from matplotlib import pyplot
from matplotlib.axes import Axes

FARTHEST = 3.0
"""Gold below the lowest curve to which a system has its line: with one beyond, curves are flat."""


def draw(runs: Mapping[str, Sequence[Path]], systems: Mapping[str, Measures], path: Path) -> None:
    """Draw both panels.

    Args:
        runs: Folders of runs, one a seed, by mode.
        systems: What is measured at the end, by the system's name.
        path: Of the picture.
    """
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(12, 4.5), layout="constrained")
    _draw_curves(left, runs, systems)
    _draw_ends(right, systems)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def _draw_curves(
    axes: Axes, runs: Mapping[str, Sequence[Path]], systems: Mapping[str, Measures]
) -> None:
    """Draw a line for each mode, the mean over its seeds, and one where each other system is."""
    for mode, folders in runs.items():
        episodes, gold = mean_curve(folders, "reward/gold_mean")
        axes.plot(episodes, gold, label=mode)
    lowest = axes.dataLim.y0 if axes.lines else -np.inf
    for (name, measured), style in zip(systems.items(), ("k:", "k--", "k-.", "k-"), strict=False):
        if name in runs:
            continue
        if measured.gold < lowest - FARTHEST:
            axes.plot([], [], " ", label=f"{name}: {measured.gold:+.1f}, far below")
        else:
            axes.axhline(measured.gold, color="k", linestyle=style[1:], linewidth=1, label=name)
    axes.set(title="What labelers want", xlabel="episodes", ylabel="gold score")
    axes.legend()


def _draw_ends(axes: Axes, systems: Mapping[str, Measures]) -> None:
    for name, measured in systems.items():
        axes.plot(1 - measured.novel_3, measured.wholly_true, "o", label=name)
    axes.set(
        title="Smart copiers",
        xlabel="3-grams that stand in the article",
        ylabel="summaries without a false fact",
    )
    axes.legend()
