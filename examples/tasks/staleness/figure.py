"""The task's figure: gold at the end against lag, and against the sampler's noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean

import matplotlib

from benchmarks.label_efficiency.cases import Case
from benchmarks.spread import standard_error

matplotlib.use("agg")
from matplotlib import pyplot


def draw(panels: Mapping[str, Mapping[str, Mapping[str, Sequence[Case]]]], path: Path) -> None:
    """Draw a panel for each axis and a line for each way; bars are the standard error over seeds.

    Args:
        panels: Runs, one a seed, by the axis's name, the line's, and the place on the axis.
        path: Of the picture.
    """
    figure, axes = pyplot.subplots(
        1,
        len(panels),
        figsize=(6 * len(panels), 4.5),
        squeeze=False,
        layout="constrained",
    )
    for panel, (axis, lines) in zip(axes[0], panels.items(), strict=True):
        for name, line in lines.items():
            golds = [[case.gold for case in cases] for cases in line.values()]
            errors = [standard_error(each) for each in golds]
            panel.errorbar(
                list(line),
                [fmean(each) for each in golds],
                errors,
                marker="o",
                capsize=3,
                label=name,
            )
        panel.set(xlabel=axis)
        panel.legend()
    axes[0][0].set(ylabel="gold score at the end")
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
