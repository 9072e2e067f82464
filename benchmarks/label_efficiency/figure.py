"""Gold against labels, one panel a task and one line an arm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean

import matplotlib

from benchmarks.spread import standard_error

matplotlib.use("agg")
from matplotlib import pyplot

MARKS = {"offline": "s", "batched": "^", "online": "o"}
"""By mode."""


def draw(found: Mapping[str, Mapping[str, Mapping[int, Sequence[float]]]], path: Path) -> None:
    """Draw curves of gold by budget and seed, by task and arm; bars are the standard error.

    An arm that asks nobody is a level line.
    """
    figure, panels = pyplot.subplots(
        1, len(found), figsize=(7 * len(found), 5), squeeze=False, layout="constrained"
    )
    for panel, (task, curves) in zip(panels[0], found.items(), strict=True):
        for name, curve in curves.items():
            if not curve:
                continue
            if 0 in curve:
                panel.axhline(fmean(curve[0]), color="k", linestyle=":", linewidth=1, label=name)
                continue
            budgets = sorted(curve)
            panel.errorbar(
                budgets,
                [fmean(curve[budget]) for budget in budgets],
                yerr=[standard_error(curve[budget]) for budget in budgets],
                marker=MARKS[name.partition("-")[0]],
                linestyle="--" if "-nudge" in name else "-",
                markersize=4,
                linewidth=1,
                label=name,
            )
        panel.set(xscale="log", xlabel="labels", ylabel="gold score at the target KL", title=task)
        asked = sorted({budget for curve in curves.values() for budget in curve if budget})
        panel.set_xticks(asked, [f"{budget:,}" for budget in asked])
        panel.minorticks_off()
    figure.legend(*panels[0][-1].get_legend_handles_labels(), fontsize=7, loc="outside right upper")
    figure.savefig(path, dpi=150)
    pyplot.close(figure)
