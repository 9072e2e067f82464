"""The task's figure: gold at the end against labels, with and without marks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean

import matplotlib

from benchmarks.label_efficiency.cases import Case
from benchmarks.spread import standard_error

matplotlib.use("agg")
from matplotlib import pyplot


def draw(lines: Mapping[str, Mapping[int, Sequence[Case]]], path: Path) -> None:
    """Draw a line for each way; bars are the standard error over seeds.

    Args:
        lines: Runs, one a seed, by the line's name and the number of labels.
        path: Of the picture.
    """
    figure, panel = pyplot.subplots(figsize=(7, 5), layout="constrained")
    for name, line in lines.items():
        golds = [[case.gold for case in cases] for cases in line.values()]
        panel.errorbar(
            list(line),
            [fmean(each) for each in golds],
            [standard_error(each) for each in golds],
            marker="o",
            capsize=3,
            label=name,
        )
    panel.set(xscale="log", xlabel="labels", ylabel="gold score at the end")
    panel.set_xticks(list(next(iter(lines.values()))))
    panel.xaxis.set_major_formatter("{x:.0f}")
    panel.minorticks_off()
    panel.legend()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
