"""The picture of where the time went: process by process, busy with what, waiting for what."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.axes import Axes

from cluster.loops.time_spent import WORK, ActorsTime, LearnerTime, busy_share, shares
from cluster.recordings.records import ActorLook, Span
from cluster.report import style
from cluster.report.records import CordRecord, RunRecords
from cluster.report.style import legend, picture, say_empty

NUM_SLICES = 400
"""Most slices of the run in which it is drawn how busy an actor was."""
FULL, HALF = 0.66, 0.22
"""Heights of a bar at work and of one that waits, as shares of a lane's height."""

Interval = tuple[float, float]
"""(start, end) of a wait, Unix seconds; of a bar along the axis (start, length), minutes."""
Slice = tuple[float, float, float]
"""(start, end, busy): Unix seconds, and how busy in [0, 1]."""
WAITS = {
    "labels": style.PURPLE,
    "rollouts": style.QUIET,
    "scores": "#4ba3c3",
    "reward": "#a08030",
}
"""What the learner may wait for, by its `Doing`: the colour."""
SEEN_S = 0.05
"""Shortest wait that is drawn, seconds; shorter ones are on record and counted all the same."""
LEAST_SHARE = 0.005
"""Smallest share of the learner's time that is told of a kind of wait."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """One process over the run."""

    name: str
    color: str
    busy: float | None
    """Share of its time that it was busy since the first step began, in [0, 1]; None: not known. Of
    the learner and the actors time at the pulled cord is left out."""
    slices: tuple[Slice, ...]
    waits: tuple[tuple[Interval, str], ...] = ()
    """When it waited, and the colour in which that is drawn."""
    note: str = ""


def time_lanes(run: RunRecords) -> list[Lane]:
    """Return a lane for each process that left a trace, actors first."""
    until = _end(run)
    learner = LearnerTime.replayed(run.learner, until)
    lanes = _actor_lanes(run.actor_looks, learner)
    if run.learner:
        lanes.append(_learner_lane(run, learner, until))
    if fits := _fits(run):
        since = learner.since
        busy = None if since is None else busy_share(fits, since, until)
        lanes.append(_lane("reward trainer", style.ORANGE, busy, fits))
    if pulls := _pulls(run.cord, until):
        lanes.append(_lane("cord pulled", style.RED, None, pulls))
    return lanes


def _end(run: RunRecords) -> float:
    """Return until when figures of time count: the last look at the run, Unix seconds.

    What is recorded after it is cut off, so that the live figures' last row says the same.
    """
    if run.actor_looks:
        return run.actor_looks[-1].at
    return max((span.ended_at for span in (*run.learner, *_fits(run))), default=0.0)


def _fits(run: RunRecords) -> list[Span]:
    if run.fits:
        return list(run.fits)
    return [
        Span(doing=r.kind, started_at=r.served_at - r.fit_seconds, ended_at=r.served_at)
        for r in run.rewards
        if r.served_at is not None
    ]


def _lane(name: str, color: str, busy: float | None, spans: Sequence[Span]) -> Lane:
    slices = tuple((span.started_at, span.ended_at, 1.0) for span in spans)
    return Lane(name=name, color=color, busy=busy, slices=slices)


def _waits_for(run: RunRecords) -> dict[str, str]:
    """Return the word for what the learner may wait for, by its `Doing`."""
    return {
        "labels": run.labelers_in_words,
        "rollouts": "rollouts",
        "scores": "scores",
        "reward": "a judgement",
    }


def _learner_lane(run: RunRecords, time: LearnerTime, until: float) -> Lane:
    spans, words = run.learner, _waits_for(run)
    waited = {} if time.since is None else shares(time, until)
    told = {words[doing]: share for doing, share in waited.items() if share >= LEAST_SHARE}
    parts = [f"{share:.0%} {word}" for word, share in told.items()]
    return Lane(
        name="learner",
        color=style.BLUE,
        busy=None if time.since is None else time.busy(until),
        slices=tuple((s.started_at, s.ended_at, 1.0) for s in spans if s.doing in WORK),
        waits=tuple(
            ((s.started_at, s.ended_at), WAITS[s.doing])
            for s in spans
            if s.doing in WAITS and s.ended_at - s.started_at >= SEEN_S
        ),
        note="waits for: " + ", ".join(parts) if parts else "",
    )


def _actor_lanes(looks: Sequence[ActorLook], learner: LearnerTime) -> list[Lane]:
    time, slices = ActorsTime(), defaultdict(list)
    for look in looks:
        passed = time.look(look, learner)
        if passed.uptime_s > 0:
            slices[look.actor_id].append((look.at - passed.uptime_s, look.at, passed.busy))
    return [
        Lane(
            name=name,
            color=style.GREEN,
            busy=time.totals[name].running_busy if name in time.totals else None,
            slices=_coarser(found),
        )
        for name, found in sorted(slices.items())
    ]


def _coarser(slices: Sequence[Slice]) -> tuple[Slice, ...]:
    """Join neighbours until there are no more than can be seen; what they cover stays the same."""
    size = -(-len(slices) // NUM_SLICES)
    joined = []
    for i in range(0, len(slices), size):
        part = slices[i : i + size]
        busy_s = sum(busy * (stop - start) for start, stop, busy in part)
        start, stop = part[0][0], part[-1][1]
        joined.append((start, stop, busy_s / (stop - start)))
    return tuple(joined)


def draw_time(run: RunRecords, path: Path) -> None:
    """When each process was at work, over the run, and when the cord was pulled."""
    lanes = time_lanes(run)
    edges = [edge for lane in lanes for start, stop, _ in lane.slices for edge in (start, stop)]
    with picture(path, rows=1, height_in=1.4 + 0.46 * max(len(lanes), 2)) as (axes,):
        axes.set_title("Where the time went")
        axes.set_xlabel("time since the run began (min)")
        if not edges:
            say_empty(axes, "nothing was recorded")
            return
        began = float(run.state.get("started_at", min(edges)))
        for row, lane in enumerate(lanes):
            _draw_lane(axes, row, lane, began, (max(edges) - began) / 60)
        axes.set_yticks(range(len(lanes)), [lane.name for lane in lanes])
        axes.set_xlim(0, (max(edges) - began) / 60)
        axes.set_ylim(len(lanes) - 0.4, -0.6)
        axes.grid(visible=False, axis="y")
        _name_waits(axes, _waits_for(run), {color for lane in lanes for _, color in lane.waits})


def _name_waits(axes: Axes, words: Mapping[str, str], shown: set[str]) -> None:
    """Say what the learner's low bars wait for."""
    drawn = [(words[doing], color) for doing, color in WAITS.items() if color in shown]
    for number, (word, color) in enumerate(drawn):
        axes.plot([], [], color=color, lw=3, label=word if number else f"waits for {word}")
    if shown:
        legend(axes)


def _draw_lane(axes: Axes, row: int, lane: Lane, began: float, end_min: float) -> None:
    if lane.slices and any(busy < 1.0 for _, _, busy in lane.slices):
        start, end = lane.slices[0][0], lane.slices[-1][1]
        track = ((start - began) / 60, (end - start) / 60)
        axes.broken_barh([track], (row - FULL / 2, FULL), facecolors=style.FAINT, alpha=0.5, lw=0)
    bars: defaultdict[tuple[float, str], list[Interval]] = defaultdict(list)
    for start, stop, busy in lane.slices:
        bars[FULL * busy, lane.color].append(((start - began) / 60, (stop - start) / 60))
    for (start, stop), color in lane.waits:
        bars[HALF, color].append(((start - began) / 60, (stop - start) / 60))
    for (height, color), along in bars.items():
        axes.broken_barh(along, (row + FULL / 2 - height, height), facecolors=color, lw=0)
    if lane.busy is not None:
        said = f"{lane.busy:.0%} busy"
        axes.text(end_min * 1.01, row, said, va="center", fontsize=8.5)
    if lane.note:
        axes.text(0, row - FULL / 2 - 0.02, lane.note, va="bottom", fontsize=7.5, color=style.QUIET)


def _pulls(cord: Sequence[CordRecord], end: float) -> list[Span]:
    """Return from when to when the cord was pulled; the last time up to `end` if need be."""
    pulls: list[Span] = []
    since: float | None = None
    for event in cord:
        if event.action == "pull" and since is None:
            since = event.at
        elif event.action == "release" and since is not None:
            pulls.append(Span(doing="pulled", started_at=since, ended_at=event.at))
            since = None
    if since is not None:
        pulls.append(Span(doing="pulled", started_at=since, ended_at=max(since, end)))
    return pulls
