"""The results as Markdown tables."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import fmean, median, stdev

from benchmarks.bad_labelers.detection import Detection
from benchmarks.bad_labelers.fits import TREATMENTS
from benchmarks.bad_labelers.labelers import TURNS_AFTER, kind_of

WEIGHTED_DOWN = 0.75
"""Reliability below which somebody is weighted down: the mean of its prior is 0.85."""


def detection_table(sessions: Sequence[Sequence[Detection]]) -> str:
    """Return, for each kind of labeler, how many labels it took to find them out.

    An adversary's labels are counted from their turn, too.
    """
    by_kind: dict[str, list[Detection]] = defaultdict(list)
    for session in sessions:
        for each in session:
            by_kind[kind_of(each.name)].append(each)
    lines = [
        "| labeler | seen | found out | suspended | by | labels before: median | p95 | most |",
        "| --- | ---: | ---: | ---: | --- | ---: | ---: | ---: |",
    ]
    for kind, those in sorted(by_kind.items()):
        lines.append(_row(kind, those, offset=0))
        if kind == "adversary":
            lines.append(_row("adversary, from the turn", those, offset=TURNS_AFTER))
    return "\n".join(lines)


def _row(name: str, those: Sequence[Detection], *, offset: int) -> str:
    found = [each.flagged_at - offset for each in those if each.flagged_at is not None]
    suspended = sum(each.suspended_at is not None for each in those)
    alarms = sorted({flag for each in those for flag in each.flags})
    # Who was not found out took more labels than were given: a percentile up there is unknown.
    all_labels = sorted(found) + [math.inf] * (len(those) - len(found))
    cells = [
        name,
        str(len(those)),
        str(len(found)),
        str(suspended),
        ", ".join(alarms) or "–",
        _at_rank(all_labels, 0.50),
        _at_rank(all_labels, 0.95),
        str(max(found)) if found else "–",
    ]
    return f"| {' | '.join(cells)} |"


def _at_rank(rising: Sequence[float], share: float) -> str:
    """Return the nearest-rank percentile, or a dash where it falls on one not found out."""
    value = rising[math.ceil(share * len(rising)) - 1]
    return "–" if math.isinf(value) else f"{value:.0f}"


def mistakes_line(sessions: Sequence[Sequence[Detection]]) -> str:
    """Return how many good labelers were suspended."""
    good = [each for session in sessions for each in session if kind_of(each.name) == "good"]
    wronged = sum(each.suspended_at is not None for each in good)
    share = 100 * wronged / len(good)
    return f"Good labelers suspended by mistake: {wronged} of {len(good)} ({share:.1f} %)."


def trust_table(
    weighed: Sequence[Mapping[str, float]],
    sessions: Sequence[Sequence[Detection]],
    gold: Sequence[Mapping[str, float]],
) -> str:
    """Return, for each kind of labeler, how far fits trust them, and who is found or trusted less.

    The last column is how much gold they are asked.

    Args:
        weighed: Reliabilities by labeler, session by session.
        sessions: Who was found out in the same sessions.
        gold: Share of gold in everybody's later labels there, by labeler.
    """
    asked: dict[str, list[float]] = defaultdict(list)
    for shares in gold:
        for name, share in shares.items():
            asked[kind_of(name)].append(share)
    trusted: dict[str, list[float]] = defaultdict(list)
    is_known: dict[str, list[bool]] = defaultdict(list)
    for reliability, found in zip(weighed, sessions, strict=True):
        out = {each.name for each in found if each.flagged_at is not None}
        for name, a in reliability.items():
            trusted[kind_of(name)].append(a)
            is_known[kind_of(name)].append(name in out or a < WEIGHTED_DOWN)
    lines = [
        "| labeler | seen | reliability a: least | median | most "
        f"| found out, or a < {WEIGHTED_DOWN:g} | gold, later |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for kind, those in sorted(trusted.items()):
        figures = (min(those), median(those), max(those))
        cells = [kind, str(len(those)), *(f"{a:.2f}" for a in figures)]
        known, share = fmean(is_known[kind]), fmean(asked[kind])
        lines.append(f"| {' | '.join(cells)} | {known:.0%} | {share:.1%} |")
    return "\n".join(lines)


def accuracy_table(runs: Sequence[Mapping[str, float]]) -> str:
    """Return the accuracy of each treatment, and how much of the loss it recovers."""
    means = {name: fmean(run[name] for run in runs) for name in TREATMENTS}
    lost = means["truth"] - means["none"]
    lines = [
        "| treatment | accuracy on clean pairs | deviation over seeds | loss recovered |",
        "| --- | ---: | ---: | ---: |",
    ]
    for name, words in TREATMENTS.items():
        spread = stdev(run[name] for run in runs) if len(runs) > 1 else 0.0
        recovered = f"{(means[name] - means['none']) / lost:.0%}" if lost > 0 else "–"
        lines.append(f"| {words} | {means[name]:.3f} | {spread:.3f} | {recovered} |")
    hurt = [run for run in runs if run["truth"] > run["none"]]  # elsewhere nothing was lost
    each = [(run["both"] - run["none"]) / (run["truth"] - run["none"]) for run in hurt]
    share = f"median {median(each):.0%} of {len(hurt)}" if hurt else "nothing was lost in any"
    passed_over = f", {len(runs) - len(hurt)} without a loss" if len(hurt) < len(runs) else ""
    lines += ["", f"Recovered by both, seed by seed: {share}{passed_over}."]
    return "\n".join(lines)
