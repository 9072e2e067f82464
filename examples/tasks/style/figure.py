"""The two figures of the task: gold against episodes, and gold against KL below the frontier."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean

import matplotlib

from benchmarks.label_efficiency.cases import Case
from examples.tasks.style.frontier import Point

matplotlib.use("agg")
from matplotlib import pyplot
from matplotlib.axes import Axes

Series = Mapping[str, Sequence[Case]]
"""Runs of one task, one a seed, by what the legend says."""
AVERAGED = 4
"""Steps that a point of a curve is the mean of."""


def draw(tasks: Mapping[str, tuple[Series, Series, Sequence[Point]]], path: Path) -> None:
    """Draw one row a task.

    Args:
        tasks: By name: the runs at one KL target, all runs, and the frontier.
        path: Of the picture.
    """
    figure, panels = pyplot.subplots(
        len(tasks), 2, figsize=(12, 4.5 * len(tasks)), squeeze=False, layout="constrained"
    )
    for (left, right), (task, (alike, all_runs, points)) in zip(panels, tasks.items(), strict=True):
        _draw_curves(left, task, alike)
        _draw_frontier(right, task, all_runs, points)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def _draw_curves(axes: Axes, task: str, series: Series) -> None:
    for name, cases in series.items():
        rows = [case.result["rows"] for case in cases]
        starts = range(0, len(rows[0]) - AVERAGED + 1, AVERAGED)
        episodes = [rows[0][start + AVERAGED - 1]["episodes"] for start in starts]
        golds = [
            fmean(row["gold"] for run in rows for row in run[start : start + AVERAGED])
            for start in starts
        ]
        axes.plot(episodes, golds, label=name)
    axes.set(title=f"{task}: gold while training", xlabel="episodes", ylabel="gold score")
    axes.legend()


def _draw_frontier(axes: Axes, task: str, series: Series, points: Sequence[Point]) -> None:
    kls, golds = [each.kl for each in points], [each.gold for each in points]
    axes.plot(kls, golds, "k--", label="ρ reweighted: the best there is")
    for name, cases in series.items():
        ends = [(case.result["kl"], case.gold) for case in cases]
        axes.plot(*zip(*ends, strict=True), "o", label=name)
    axes.set(title=f"{task}: gold at the end", xlabel="KL to ρ, nats a response", ylabel="gold")
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
