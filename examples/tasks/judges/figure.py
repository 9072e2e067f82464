"""The figure of the task: both win rates, and what lies between them, run by run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("agg")
from matplotlib import pyplot
from matplotlib.axes import Axes

RATES = (("training", "labelers who train", "o"), ("judges", "judges", "s"))
"""In the names of figures, in the legend, and how it is marked."""


def draw(series: Mapping[str, Sequence[dict[str, Any]]], path: Path) -> None:
    """Draw a place for each run; bars are 95 % intervals.

    Args:
        series: Summaries of runs, one a seed, by the taste of those who train.
        path: Of the picture.
    """
    runs = [(name, summary) for name, of in series.items() for summary in of]
    figure, panels = pyplot.subplots(1, 2, figsize=(11, 4.5), layout="constrained")
    rates, gaps = panels
    for side, label, marker in RATES:
        _draw(rates, f"judged_winrate_{side}", runs, label, marker)
    _draw(gaps, "judged_winrate_gap", runs, "labelers who train minus judges", "D")
    rates.axhline(50, color="grey", ls="--", lw=1)
    gaps.axhline(0, color="grey", ls="--", lw=1)
    rates.set(title="Policy preferred to base model", ylabel="win rate (%)", ylim=(0, 100))
    gaps.set(title="How much more by those it was trained on", ylabel="percentage points")
    for axes in panels:
        axes.set_xticks(range(len(runs)), [f"{name}\nseed {each['seed']}" for name, each in runs])
        axes.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def _draw(
    axes: Axes, figure: str, runs: Sequence[tuple[str, dict[str, Any]]], label: str, marker: str
) -> None:
    known = [(at, each) for at, (_, each) in enumerate(runs) if each[figure] is not None]
    values = [100 * each[figure] for _, each in known]
    below = [100 * (each[figure] - each[f"{figure}_low"]) for _, each in known]
    above = [100 * (each[f"{figure}_high"] - each[figure]) for _, each in known]
    places = [at for at, _ in known]
    axes.errorbar(places, values, [below, above], ls="", marker=marker, capsize=3, label=label)
