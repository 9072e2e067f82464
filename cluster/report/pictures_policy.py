"""Pictures of the policy loop: what it reached, at what distance from ρ, how stale."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from statistics import fmean, pstdev

from matplotlib.axes import Axes

from cluster.recordings.records import RolloutRecord
from cluster.report import style
from cluster.report.records import RunRecords
from cluster.report.style import legend, picture, say_empty, thousands
from label_queue.percentile import percentile

TARGET_BAND = 0.2
"""The KL mean should settle within this share of its target."""


def draw_scores(run: RunRecords, path: Path) -> None:
    """Gold and learned score against episodes, with the reward versions marked."""
    steps = [(e, list(group)) for e, group in groupby(run.trained, lambda r: r.episodes)]
    with picture(path, rows=2 if run.has_gold else 1, height_in=5.2) as panels:
        for axes in panels:
            _mark_rewards(axes, run, is_named=axes is panels[-1])
            thousands(axes)
        if run.has_gold:
            _draw_gold(panels[0], run, steps)
            panels[0].sharex(panels[1])
            panels[0].tick_params(labelbottom=False)
        _draw_learned(panels[-1], steps)
        panels[-1].set_xlabel("episodes trained")


def _draw_gold(
    axes: Axes, run: RunRecords, steps: Sequence[tuple[int, list[RolloutRecord]]]
) -> None:
    axes.set_title("Gold score, hidden from all that learns")
    axes.set_ylabel("gold score")
    base = [run.gold(rollout) for rollout in run.reference]
    if base:
        mean, spread = fmean(base), pstdev(base)
        axes.axhspan(mean - spread, mean + spread, color=style.FAINT, alpha=0.45, lw=0)
        axes.axhline(mean, color=style.QUIET, lw=1.2, label="base model, mean ± 1 std")
    means = [fmean(run.gold(rollout) for rollout in rollouts) for _, rollouts in steps]
    axes.plot([e for e, _ in steps], means, color=style.GREEN, label="policy, mean of each step")
    legend(axes)


def _draw_learned(axes: Axes, steps: Sequence[tuple[int, list[RolloutRecord]]]) -> None:
    axes.set_title("Learned score")
    axes.set_ylabel("score (std of base model)")
    scored = [
        (episodes, [r.score for r in rollouts if r.score is not None])
        for episodes, rollouts in steps
    ]
    scored = [(episodes, scores) for episodes, scores in scored if scores]
    if not scored:
        say_empty(axes, "no PPO step was taken")
        return
    x = [episodes for episodes, _ in scored]
    low, high = ([percentile(scores, share) for _, scores in scored] for share in (0.05, 0.95))
    axes.fill_between(x, low, high, color=style.BLUE, alpha=0.13, lw=0, label="5th-95th percentile")
    axes.plot(x, [fmean(scores) for _, scores in scored], color=style.BLUE, label="mean")
    legend(axes)


def _mark_rewards(axes: Axes, run: RunRecords, *, is_named: bool) -> None:
    """Mark the first step of each reward version: refits from scratch, and warm updates."""
    starts = run.reward_starts
    for start in starts:
        axes.axvline(
            start.episodes,
            color=style.ORANGE if start.is_refit else style.FAINT,
            lw=1.1 if start.is_refit else 0.8,
            alpha=0.75 if start.is_refit else 1.0,
            zorder=0.5,
        )
    if starts and is_named:
        axes.plot([], [], color=style.ORANGE, lw=1.1, alpha=0.75, label="reward refitted")
        axes.plot([], [], color=style.FAINT, lw=1.2, label="reward updated")


def draw_kl(run: RunRecords, path: Path) -> None:
    """KL to the reference policy and the coefficient that steers it."""
    with picture(path, rows=2, height_in=4.6) as (kl_axes, beta_axes):
        kl_axes.set_title("Distance from the base model")
        kl_axes.set_ylabel("KL (nats a response)")
        beta_axes.set_title("Price of a nat")
        beta_axes.set_ylabel("coefficient β (1/nat)")
        beta_axes.set_xlabel("episodes trained")
        thousands(beta_axes)
        if not run.series("kl/reference_mean"):
            say_empty(kl_axes, "no PPO step was taken")
            say_empty(beta_axes, "")
            return
        kl_axes.plot(
            *run.against("kl/reference_mean", "policy/episodes"), color=style.BLUE, label="mean"
        )
        kl = run.config.kl
        if kl.kind == "adaptive":
            low, high = kl.target * (1 - TARGET_BAND), kl.target * (1 + TARGET_BAND)
            kl_axes.axhspan(low, high, color=style.ORANGE, alpha=0.12, lw=0, label="±20 %")
            kl_axes.axhline(kl.target, color=style.ORANGE, lw=1.2, ls="--", label="target")
        legend(kl_axes)
        kl_axes.set_ylim(bottom=min(0.0, *run.series("kl/reference_mean")))
        beta_axes.plot(*run.against("kl/coefficient", "policy/episodes"), color=style.PURPLE)
        beta_axes.set_ylim(bottom=0)
        kl_axes.sharex(beta_axes)
        kl_axes.tick_params(labelbottom=False)


def draw_staleness(run: RunRecords, path: Path) -> None:
    """How many versions old the rollouts were when they were trained on."""
    most = run.config.run.max_policy_lag
    lags = Counter(rollout.policy_lag for rollout in run.trained)
    with picture(path, rows=1, height_in=2.9) as (axes,):
        axes.set_title("Staleness of what was trained on")
        axes.set_xlabel("policy lag (versions)")
        axes.set_ylabel("share of rollouts (%)")
        if not lags:
            say_empty(axes, "no PPO step was taken")
            return
        shown = range(max(most, *lags) + 1)
        shares = [100 * lags[lag] / lags.total() for lag in shown]
        bars = axes.bar(shown, shares, width=0.62, color=style.BLUE)
        axes.bar_label(bars, [f"{share:.1f}" for share in shares], padding=2, fontsize=8.5)
        axes.axvline(most + 0.5, color=style.RED, lw=1.3, ls="--", label="bound: none beyond")
        axes.set_xticks(list(shown))
        axes.set_ylim(0, 1.15 * max(shares))
        axes.grid(visible=False, axis="x")
        legend(axes)
