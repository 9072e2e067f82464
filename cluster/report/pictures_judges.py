"""The picture of what judges say, beside those whose labels train."""

from __future__ import annotations

from pathlib import Path

from matplotlib.axes import Axes

from cluster.report import style
from cluster.report.judged import judged_by
from cluster.report.records import RunRecords
from cluster.report.score_correlation import systems
from cluster.report.style import legend, picture, say_empty
from label_queue.figures.judged import JudgedRates
from label_queue.figures.validation import WINDOW, WinRate


def draw_judges(run: RunRecords, path: Path) -> None:
    """Both win rates on the queries that both sides answered, and the versions by score."""
    figures = run.label_side.figures
    windows = (("at the end", figures.judged(WINDOW)), ("whole run", figures.judged()))
    with picture(path, rows=2, height_in=5.2) as (rate_axes, score_axes):
        rate_axes.set_title("Policy preferred to base model")
        rate_axes.set_xlabel("win rate (%), with 95 % bounds")
        if any(found.num_queries for _, found in windows):
            _draw_rates(rate_axes, windows)
        else:
            say_empty(rate_axes, "no query was answered by a judge and one who trains")
        _draw_systems(score_axes, run)


def _draw_systems(axes: Axes, run: RunRecords) -> None:
    """Draw ρ and groups of the policy's versions, by what the reward and labelers say of them."""
    axes.set_title("Versions of the policy")
    axes.set_xlabel("learned score above that of the base model's responses")
    axes.set_ylabel("win rate (%)")
    found = {side: systems(queries) for side, queries in judged_by(run).items()}
    if not any(found.values()):
        say_empty(axes, "nothing that was judged has been scored")
        return
    for side, name, color in (
        ("training", "labelers who train", style.GREEN),
        ("judges", "judges", style.ORANGE),
    ):
        x = [each.learned for each in found[side]]
        y = [100 * each.chosen for each in found[side]]
        axes.plot(x, y, "o", color=color, ms=6, label=name)
    axes.axhline(50, color=style.QUIET, lw=1.2, ls="--", label="chance")
    axes.set_ylim(0, 100)
    legend(axes)


def _draw_rates(axes: Axes, windows: tuple[tuple[str, JudgedRates], ...]) -> None:
    names = []
    for place, (name, found) in enumerate(windows):
        if not found.num_queries:
            continue
        names.append((place, f"{name}\n{found.num_queries} queries"))
        for rate, shift, color in (
            (found.by_training, -0.12, style.GREEN),
            (found.by_judges, 0.12, style.ORANGE),
        ):
            _draw_rate(axes, rate, place + shift, color)
    axes.plot([], [], "o", color=style.GREEN, label="labelers who train")
    axes.plot([], [], "o", color=style.ORANGE, label="judges")
    axes.axvline(50, color=style.QUIET, lw=1.2, ls="--", label="chance")
    axes.set_xlim(0, 100)
    axes.set_ylim(len(windows) - 0.5, -0.5)
    axes.set_yticks([place for place, _ in names], [name for _, name in names])
    legend(axes)


def _draw_rate(axes: Axes, rate: WinRate, place: float, color: str) -> None:
    axes.plot([100 * rate.low, 100 * rate.high], [place, place], color=color, lw=1.6)
    axes.plot([100 * rate.rate], [place], "o", color=color, ms=6)
