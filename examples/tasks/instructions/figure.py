"""The figure of the task: the reward that is won, and what is lost on text, against episodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np

from cluster.metrics.jsonl_sink import read_metrics

matplotlib.use("agg")
from matplotlib import pyplot
from matplotlib.axes import Axes

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
            _draw_line(axes, name, [_curve(folder, metric) for folder in folders])
        axes.set(title=title, xlabel="episodes", ylabel=label)
        axes.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def _curve(folder: Path, metric: str) -> tuple[list[float], list[float]]:
    """Return a metric's values and the episodes they were written at, from the rows with both."""
    rows = read_metrics(folder / "metrics.jsonl")
    found = [row for row in rows if metric in row and "policy/episodes" in row]
    return [row["policy/episodes"] for row in found], [row[metric] for row in found]


def _draw_line(axes: Axes, name: str, curves: Sequence[tuple[list[float], list[float]]]) -> None:
    shortest = min(len(values) for _, values in curves)
    values = np.mean([values[:shortest] for _, values in curves], axis=0)
    axes.plot(curves[0][0][:shortest], values, label=name)
