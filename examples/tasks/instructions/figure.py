"""The figure of the task: the reward that is won, and what is lost on text, against episodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib

from examples.tasks.curves import mean_curve

matplotlib.use("agg")
from matplotlib import pyplot

PANELS = (
    ("reward/gold_mean", "What labelers want", "gold score"),
    ("policy/alignment_tax", "What it costs on held-out text", "nats a token above ρ"),
)
"""Metric, title and axis of each."""


def draw(series: Mapping[str, Sequence[Path]], path: Path) -> None:
    """Draw a line for each kind of run, the mean over its seeds.

    Args:
        series: Folders of runs, one a seed, by what the legend says.
        path: Of the picture.
    """
    figure, panels = pyplot.subplots(1, len(PANELS), figsize=(12, 4.5), layout="constrained")
    for axes, (metric, title, label) in zip(panels, PANELS, strict=True):
        for name, folders in series.items():
            axes.plot(*mean_curve(folders, metric), label=name)
        axes.set(title=title, xlabel="episodes", ylabel=label)
        axes.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
