"""The task's figure: gold, and what demonstrations lose, over episodes; and what was changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib

from examples.tasks.curves import mean_curve
from examples.tasks.dialogue.measures import Measures

matplotlib.use("agg")
from matplotlib import pyplot
from matplotlib.axes import Axes

CURVES = (
    ("reward/gold_mean", "What labelers want", "gold score"),
    ("policy/alignment_tax", "What it costs on demonstrations held out", "nats a token above ρ"),
)
"""Metric, title and axis of each panel over episodes."""
BAR_WIDTH = 0.4


def draw(runs: Mapping[str, Sequence[Path]], systems: Mapping[str, Measures], path: Path) -> None:
    """Draw all panels.

    Args:
        runs: Folders of runs, one a seed, by what the legend says.
        systems: What is measured at the end, by the system's name.
        path: Of the picture.
    """
    figure, panels = pyplot.subplots(1, 3, figsize=(17, 4.5), layout="constrained")
    for axes, (metric, title, label) in zip(panels, CURVES, strict=False):
        for name, folders in runs.items():
            axes.plot(*mean_curve(folders, metric), label=name)
        axes.set(title=title, xlabel="episodes", ylabel=label)
        if runs:
            axes.legend()
    _draw_ends(panels[-1], systems)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)
    pyplot.close(figure)


def _draw_ends(axes: Axes, systems: Mapping[str, Measures]) -> None:
    places = range(len(systems))
    for shift, label in ((-0.5, "right"), (0.5, "outdated")):
        values = [100 * getattr(each, label) for each in systems.values()]
        axes.bar([at + shift * BAR_WIDTH for at in places], values, BAR_WIDTH, label=label)
    names = [name.replace(", ", ",\n").replace(" turn", "\nturn") for name in systems]
    axes.set_xticks(list(places), names)
    axes.set(title="What answers say of a booking", ylabel="% of what was agreed on, changed")
    axes.legend()
