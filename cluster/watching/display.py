"""How a run shows itself: a live panel in a terminal, a plain line now and then elsewhere.

A terminal that draws nothing over, as Emacs's shells with TERM=dumb, has plain lines too.

A snapshot is a flat mapping: the last value of each metric by its name, and beside them

    phase           what the run is doing now, e.g. "training"; see `cluster.loops.activity`
    elapsed_s       since the run began
    episodes_total  of the whole run
    note            what to tell the user just now, e.g. the address to label at
    alarm           what the user must know before all else, e.g. who pulled the cord

Whatever is missing is not shown.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Self, TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

Snapshot = Mapping[str, float | int | str]

PLAIN_INTERVAL_S = 10.0
"""Time between two plain lines of the same phase."""
BAR_WIDTH = 32
PANEL_WIDTH = 92

_Row = tuple[str, str, str]
"""Name shown, key that must be there, format with the snapshot's keys as `s`."""
_POLICY: tuple[_Row, ...] = (
    ("policy", "policy/version", "v{s[policy/version]:.0f}"),
    ("lag", "staleness/policy_lag_max", "{s[staleness/policy_lag_max]:.0f} versions at most"),
    ("score", "reward/score_mean", "{s[reward/score_mean]:+.2f}"),
    ("gold", "reward/gold_mean", "{s[reward/gold_mean]:+.2f}"),
    ("KL", "kl/reference_mean", "{s[kl/reference_mean]:.2f} nats"),
    ("KL target", "kl/target", "{s[kl/target]:.2f} nats"),
    ("pace", "throughput/episodes_per_s", "{s[throughput/episodes_per_s]:.1f} episodes/s"),
)
_PEOPLE: tuple[_Row, ...] = (
    ("labels", "labels/accepted", "{s[labels/accepted]:.0f}"),
    ("counted", "labels/counted", "{s[labels/counted]:.0f} toward those wanted"),
    ("wanted", "labels/scheduled", "{s[labels/scheduled]:.0f} by now"),
    ("reward", "reward_model/version", "v{s[reward_model/version]:.0f}"),
    ("learned", "reward_model/labels_used", "{s[reward_model/labels_used]:.0f} labels"),
    ("preferred", "policy/winrate_vs_reference", "{s[policy/winrate_vs_reference]:.0%} over base"),
    ("learner", "throughput/learner_idle", "{s[throughput/learner_idle]:.0%} idle"),
    ("actors", "throughput/actor_idle", "{s[throughput/actor_idle]:.0%} idle"),
)


def console_of(stream: TextIO) -> Console:
    """Return the console of a stream, which is live in a terminal alone.

    FORCE_COLOR, which build servers set, makes rich take a pipe for a terminal: a panel would be
    drawn into its log once a second.
    """
    return Console(file=stream, force_interactive=None if stream.isatty() else False)


class RunDisplay:
    """Context manager that shows snapshots as they come.

    Args:
        console: Where to; live if what is there can be drawn over, plain lines if not.
        title: E.g. the run's folder.
        clock: Seconds, rising; paces the plain lines.
    """

    def __init__(
        self, console: Console, title: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._console = console
        self._title = title
        self._clock = clock
        # A terminal with TERM=dumb is none of those: rich would show nothing before the end.
        self._live = Live(console=console, auto_refresh=False) if console.is_interactive else None
        self._last_line: tuple[str, float] | None = None

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, snapshot: Snapshot) -> None:
        """Show how the run stands; cheap, and may be called as often as one likes."""
        if self._live is not None:
            self._live.update(render(snapshot, self._title), refresh=True)
        elif self._is_due(str(snapshot.get("phase", ""))):
            self._console.print(plain_line(snapshot), markup=False, highlight=False, soft_wrap=True)

    def _is_due(self, phase: str) -> bool:
        now = self._clock()
        if self._last_line is not None:
            last_phase, shown_at = self._last_line
            if phase == last_phase and now - shown_at < PLAIN_INTERVAL_S:
                return False
        self._last_line = (phase, now)
        return True


def render(snapshot: Snapshot, title: str) -> RenderableType:
    """Return a snapshot as a panel: progress on top, the policy and the people below."""
    columns = Table.grid(padding=(0, 4))
    columns.add_row(_column(snapshot, _POLICY), _column(snapshot, _PEOPLE))
    parts: list[RenderableType] = [_progress(snapshot), Text(""), columns]
    if "alarm" in snapshot:
        alarm = Text(str(snapshot["alarm"]), style="bold")
        parts.insert(0, Panel(alarm, border_style="bold red"))
    if "note" in snapshot:
        parts += [Text(""), Text(str(snapshot["note"]), style="cyan")]
    return Panel(Group(*parts), title=Text(title), title_align="left", width=PANEL_WIDTH)


def plain_line(snapshot: Snapshot) -> str:
    """Return a snapshot as one line of plain text."""
    parts = [f"[{_minutes(snapshot)}] {snapshot.get('phase', '')}"]
    if "episodes_total" in snapshot:
        done = float(snapshot.get("policy/episodes", 0))
        parts.append(f"episodes {done:.0f}/{float(snapshot['episodes_total']):.0f}")
    if "alarm" in snapshot:
        parts += str(snapshot["alarm"]).splitlines()
    rows = (*_POLICY, *_PEOPLE)
    parts += [f"{name} {form.format(s=snapshot)}" for name, key, form in rows if key in snapshot]
    return " · ".join(parts)


def _progress(snapshot: Snapshot) -> RenderableType:
    row: list[RenderableType] = [
        Text(str(snapshot.get("phase", "")), style="bold"),
        Text(_minutes(snapshot), style="dim"),
    ]
    if "episodes_total" in snapshot:
        done, total = float(snapshot.get("policy/episodes", 0)), float(snapshot["episodes_total"])
        row.append(ProgressBar(total=total, completed=done, width=BAR_WIDTH))
        row.append(Text(f"{done:,.0f} of {total:,.0f} episodes"))
    line = Table.grid(padding=(0, 2))
    line.add_row(*row)
    return line


def _column(snapshot: Snapshot, rows: tuple[_Row, ...]) -> Table:
    column = Table.grid(padding=(0, 2))
    column.add_column(style="dim", min_width=9)
    column.add_column(min_width=24)
    for name, key, form in rows:
        if key in snapshot:
            column.add_row(name, Text(form.format(s=snapshot)))
    return column


def _minutes(snapshot: Snapshot) -> str:
    minutes, seconds = divmod(int(float(snapshot.get("elapsed_s", 0))), 60)
    return f"{minutes:d}:{seconds:02d}"
