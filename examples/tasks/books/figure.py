"""The task's figure: gold at each height while training, and what of a book comes through."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np

from examples.tasks.books.measures import Measures
from examples.tasks.curves import mean_curve

matplotlib.use("agg")
from matplotlib import pyplot
from matplotlib.axes import Axes

HEIGHTS = ("passages", "parts", "wholes")
SMOOTHED_STEPS = 5
"""Steps that a point of a curve is the mean of: few wholes are trained on in one."""


def draw(folders: Sequence[Path], systems: Mapping[str, Measures], path: Path) -> None:
    """Draw both panels.

    Args:
        folders: Of runs, one a seed.
        systems: What is measured at the end, by the system's name.
        path: Of the picture.
    """
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(12, 4.5), layout="constrained")
    _draw_curves(left, folders)
    _draw_ends(right, systems)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def _draw_curves(axes: Axes, folders: Sequence[Path]) -> None:
    """Draw a line for each height, the mean over seeds of a mean over some steps."""
    for height, name in enumerate(HEIGHTS):
        curve = mean_curve(folders, f"reward/gold_mean_height_{height}")
        if curve.shape[1] < SMOOTHED_STEPS:
            continue
        kernel = np.full(SMOOTHED_STEPS, 1 / SMOOTHED_STEPS)
        episodes, gold = (np.convolve(row, kernel, "valid") for row in curve)
        axes.plot(episodes, gold, label=name)
    axes.set(title="What labelers want", xlabel="episodes", ylabel="gold score of a node's summary")
    if axes.lines:
        axes.legend()


def _draw_ends(axes: Axes, systems: Mapping[str, Measures]) -> None:
    for name, measured in systems.items():
        axes.plot(measured.told, measured.true_of_book, "o", label=name)
    axes.set(
        title="What of a book comes through",
        xlabel="the book's news that its summary tells",
        ylabel="facts of it that the book states",
    )
    axes.legend()
