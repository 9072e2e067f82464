"""Pictures of the label loop: what people gave, how soon it counted, how far they agree."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from matplotlib.axes import Axes

from cluster.report import style
from cluster.report.records import RunRecords
from cluster.report.style import legend, picture, say_empty, thousands
from label_queue.figures.agreement import wilson_bounds
from label_queue.figures.online import Coverage, Online
from label_queue.figures.progress import episodes_at, received_times
from label_queue.figures.validation import WINDOW, winrate
from label_queue.percentile import percentile
from label_queue.schedule import LabelSchedule

VERSION, LABELS_USED = "reward_model/version", "reward_model/labels_used"
TRAIN, HELD_OUT = "reward_model/train_accuracy", "reward_model/validation_accuracy"
HELD_OUT_LABELS = "reward_model/validation_labels"
MOST_POINTS = 200
"""Points of the win rate so far: each goes through all votes before it."""


def draw_schedule(run: RunRecords, path: Path) -> None:
    """Labels received against those wanted by the schedule l(n)."""
    episodes = run.config.run.episodes
    schedule = LabelSchedule.of(run.config.labels, num_episodes=episodes, mode=run.config.run.mode)
    with picture(path, rows=1, height_in=3.2) as (axes,):
        axes.set_title("Labels against the schedule")
        axes.set_xlabel("episodes trained")
        axes.set_ylabel("labels")
        thousands(axes)
        grid = [round(episodes * i / 200) for i in range(201)]
        axes.plot(
            grid,
            [schedule.wanted(n) for n in grid],
            color=style.ORANGE,
            ls="--",
            lw=1.4,
            label="l(n), wanted before episode n",
        )
        for point in schedule.refit_points:
            axes.axhline(point, color=style.FAINT, lw=0.8, zorder=0.5)
        axes.plot([], [], color=style.FAINT, lw=0.8, label="a refit is due")
        received = received_times(run.label_side.history.events, run.training)
        axes.step(
            episodes_at(run.label_side.policies.values(), received),
            range(1, len(received) + 1),
            where="post",
            color=style.BLUE,
            label="received",
        )
        axes.set_ylim(bottom=0)
        legend(axes)


def draw_online(run: RunRecords, path: Path) -> None:
    """How online the run was: coverage of queries, and latency from label to policy."""
    online = run.label_side.figures.online()
    with picture(path, rows=2, height_in=5.0) as (coverage_axes, latency_axes):
        _draw_coverage(coverage_axes, online.coverage, run)
        _draw_latency(latency_axes, online, run)


def _draw_coverage(axes: Axes, points: Sequence[Coverage], run: RunRecords) -> None:
    axes.set_title("Coverage")
    axes.set_ylabel("labels learned (%)")
    axes.set_xlabel("episodes trained when the query was made")
    thousands(axes)
    if not points:
        say_empty(axes, "no query was made after the first refit")
        return
    x = episodes_at(run.label_side.policies.values(), (point.created_at for point in points))
    middle = 100 * median(point.share for point in points)
    axes.scatter(
        x, [100 * p.share for p in points], s=11, color=style.BLUE, alpha=0.45, lw=0, label="query"
    )
    axes.axhline(middle, color=style.ORANGE, lw=1.3, label=f"median {middle:.0f} %")
    axes.set_ylim(0, 104)
    legend(axes)


def _draw_latency(axes: Axes, online: Online, run: RunRecords) -> None:
    latencies = online.latencies
    axes.set_title("Latency from label to policy")
    axes.set_ylabel("latency (s)")
    axes.set_xlabel("time of the label since the run began (min)")
    if not latencies:
        say_empty(axes, "no label reached a policy that was sampled")
        return
    began = float(run.state.get("started_at", latencies[0].received_at))
    seconds = [each.seconds for each in latencies]
    axes.scatter(
        [(each.received_at - began) / 60 for each in latencies],
        seconds,
        s=11,
        color=style.GREEN,
        alpha=0.45,
        lw=0,
        label="label",
    )
    for share, line in ((0.5, "-"), (0.95, "--")):
        value = percentile(seconds, share)
        label = f"p{100 * share:.0f} {value:.0f} s"
        axes.axhline(value, color=style.ORANGE, lw=1.3, ls=line, label=label)
    axes.plot([], [], " ", label=f"{online.num_waiting:,} not learned yet")
    axes.set_ylim(bottom=0)
    legend(axes)


def draw_validation(run: RunRecords, path: Path) -> None:
    """How often labelers prefer the policy to ρ, and how well the reward predicts labels."""
    votes = run.label_side.figures.validation_votes()
    with picture(path, rows=2, height_in=5.0) as (vote_axes, fit_axes):
        vote_axes.set_title("Policy preferred to base model, so far")
        vote_axes.set_ylabel("win rate (%)")
        vote_axes.set_xlabel("validation labels")
        if votes:
            counts = _some_of(len(votes))
            rates = [winrate(votes[:count]) for count in counts]
            low, high = [100 * each.low for each in rates], [100 * each.high for each in rates]
            vote_axes.fill_between(
                counts, low, high, color=style.GREEN, alpha=0.15, lw=0, label="95 %"
            )
            vote_axes.plot(
                counts, [100 * each.rate for each in rates], color=style.GREEN, label="win rate"
            )
            vote_axes.axhline(50, color=style.QUIET, lw=1.2, ls="--", label="chance")
            vote_axes.set_ylim(0, 100)
            legend(vote_axes)
        else:
            say_empty(vote_axes, "no label compared a trained policy with the base model")
        _draw_accuracy(fit_axes, run)


def _some_of(number: int) -> list[int]:
    """Return up to `MOST_POINTS` counts from 1 to a number, which is the last of them."""
    step = -(-number // MOST_POINTS)
    return [*range(1, number, step), number]


def _draw_accuracy(axes: Axes, run: RunRecords) -> None:
    axes.set_title("Accuracy of the reward")
    axes.set_ylabel("first choice predicted (%)")
    axes.set_xlabel("reward version")
    fits = [row for row in run.rows if LABELS_USED in row and TRAIN in row]
    refits = {each.version for each in run.rewards if each.kind == "refit"}
    for name, mark, is_refit in (("in an update", "o", False), ("in a refit", "D", True)):
        points = [
            (row[VERSION], 100 * row[TRAIN]) for row in fits if (row[VERSION] in refits) == is_refit
        ]
        if points:
            axes.plot(*zip(*points, strict=True), mark, ms=3, color=style.BLUE, label=name)
    for name, color, which in (
        ("not learned yet", style.ORANGE, "_current_policy"),
        ("validation", style.GREEN, ""),
    ):
        pools = pooled_accuracies(run.rows, which)
        if pools:
            x = [pool.version for pool in pools]
            low, high = [100 * p.low for p in pools], [100 * p.high for p in pools]
            axes.fill_between(x, low, high, color=color, alpha=0.13, lw=0)
            axes.plot(x, [100 * pool.rate for pool in pools], color=color, label=name)
    if not fits:
        say_empty(axes, "the reward trainer reported no accuracy")
        return
    chance = 100 / run.config.labels.num_candidates
    axes.axhline(chance, color=style.QUIET, lw=1.2, ls="--", label="chance")
    axes.set_ylim(0, 100)
    legend(axes)


@dataclass(frozen=True, slots=True, kw_only=True)
class PooledAccuracy:
    """How often the newest labels were predicted by versions that had not learned them."""

    version: int
    """The last of the versions that were asked."""
    rate: float
    low: float
    """Lower end of the 95 % interval (Wilson)."""
    high: float
    """Upper end of the 95 % interval."""


def pooled_accuracies(rows: Sequence[Mapping[str, float]], which: str) -> list[PooledAccuracy]:
    """Return the accuracy before each fit over the newest labels: a window of them, or all.

    A fit judges a handful of labels that are new to it, by the version before it: alone they say
    nothing, so those of the fits before are counted with them.

    Args:
        rows: A run's metrics, in order. Fits that do not say of how many labels are passed over.
        which: Which labels were asked, as the metrics' names end.
    """
    pools: list[PooledAccuracy] = []
    newest: deque[tuple[float, float]] = deque()
    for row in rows:
        count = row.get(f"{HELD_OUT_LABELS}{which}")
        if count is None:
            continue
        newest.append((count * row[f"{HELD_OUT}{which}"], count))
        while sum(n for _, n in newest) - newest[0][1] >= WINDOW:
            newest.popleft()
        hits, labels = (sum(column) for column in zip(*newest, strict=True))
        low, high = wilson_bounds(hits, labels)
        pools.append(
            PooledAccuracy(version=int(row[VERSION]) - 1, rate=hits / labels, low=low, high=high)
        )
    return pools


def draw_labelers(run: RunRecords, path: Path) -> None:
    """Labels of each labeler, and how often others who saw the same query chose the same."""
    rows = [row for row in run.labelers if row.labels]
    with picture(path, rows=2, height_in=2.2 + 0.5 * max(len(rows), 2)) as panels:
        count_axes, agreement_axes = panels
        count_axes.set_title("Labels by labeler")
        count_axes.set_xlabel("labels")
        agreement_axes.set_title("Agreement on shared queries")
        agreement_axes.set_xlabel("others who chose the same (%), with 95 % bounds")
        if not rows:
            say_empty(count_axes, "nobody has labelled yet")
            say_empty(agreement_axes, "")
            return
        names = [row.labeler_id for row in rows]
        lanes = range(len(rows))
        skips = Counter(label.labeler_id for label in run.labels if label.outcome == "skip")
        skipped = [skips[name] for name in names]
        answered = [row.labels - skips[row.labeler_id] for row in rows]
        count_axes.barh(lanes, answered, height=0.6, color=style.BLUE, label="answered")
        bars = count_axes.barh(
            lanes, skipped, left=answered, height=0.6, color=style.FAINT, label="skipped"
        )
        count_axes.bar_label(bars, [str(row.labels) for row in rows], padding=3, fontsize=8.5)
        count_axes.set_xlim(0, 1.12 * max(row.labels for row in rows))
        legend(count_axes)
        for lane, row in enumerate(rows):
            if row.peer_agreement is None:
                continue
            low, high = wilson_bounds(row.peer_agreement * row.peer_labels, row.peer_labels)
            agreement_axes.plot([100 * low, 100 * high], [lane, lane], color=style.QUIET, lw=2.2)
            agreement_axes.plot(100 * row.peer_agreement, lane, "o", ms=8, color=style.GREEN)
        for axes in panels:
            axes.set_yticks(lanes, names)
            axes.set_ylim(len(rows) - 0.4, -0.6)
            axes.grid(visible=False, axis="y")
        chance = 100 / run.config.labels.num_candidates
        agreement_axes.axvline(chance, color=style.QUIET, lw=1.2, ls="--", label="chance")
        agreement_axes.set_xlim(0, 100)
        legend(agreement_axes)
