"""When a run that shall stop is urged, and when it is cut off. It has no clock and does nothing.

    asked ─▶ FINISH        ─▶ CANCEL              ─▶ CANCEL           ─▶ CUT
    0        the step under   ⅔ stop_s: what is      stop_s: parts       stop_s + 4: the state is
             way ends first   still running ends     that are asked to   written, and what runs is
                              where it stands        stop no longer are  killed

What ends before is not urged. Asked to stop at once, CANCEL comes first of all. A second signal is
a person who will not wait: CUT.
"""

from __future__ import annotations

from enum import Enum, auto

STEP_SHARE = 2 / 3
"""What the step under way gets of the time for stopping; the parts get the rest."""
CUT_AFTER_S = 4.0
"""After the last urge: what the session needs to end on a quiet machine, and a second to spare."""
SAME_REQUEST_S = 1.0
"""Signals nearer to the first are the same request: `timeout` signals a process and then its group,
systemd sends SIGHUP after SIGTERM, and a closing terminal may send SIGHUP twice."""


class Urge(Enum):
    """What is to be done to a run that shall stop."""

    FINISH = auto()
    """Let it end after the step under way."""
    CANCEL = auto()
    """End it where it stands; its parts are still asked to stop."""
    CUT = auto()
    """Write down how it ended, kill what it started, and end."""


class StopClock:
    """Times are seconds of one rising clock, which whoever calls reads.

    Args:
        stop_s: How long a run may take to stop by itself.
    """

    def __init__(self, stop_s: float) -> None:
        self._stop_s = stop_s
        self._due: list[tuple[float, Urge]] = []
        self._is_asked = False
        self._is_at_once = False
        self._first_signal_at: float | None = None

    def asked(self, now: float, *, at_once: bool = False) -> None:
        """A stop is asked for. Asked again, it only matters that it is now to be at once."""
        if not self._is_asked:
            self._is_asked = True
            self._due = [
                (now, Urge.CANCEL if at_once else Urge.FINISH),
                (now + STEP_SHARE * self._stop_s, Urge.CANCEL),
                (now + self._stop_s, Urge.CANCEL),
                (now + self._stop_s + CUT_AFTER_S, Urge.CUT),
            ]
        elif at_once and not self._is_at_once:
            self._due.insert(0, (now, Urge.CANCEL))
        self._is_at_once = self._is_at_once or at_once

    def signalled(self, now: float) -> None:
        """A signal came. The first asks for a stop, a second for one that waits for nothing."""
        if self._first_signal_at is None:
            self._first_signal_at = now
            self.asked(now)
        elif now - self._first_signal_at >= SAME_REQUEST_S:
            self._due = [(now, Urge.CUT)]

    def due(self, now: float) -> list[Urge]:
        """Return what is to be done by now, each once."""
        come = [urge for at, urge in self._due if at <= now]
        self._due = [(at, urge) for at, urge in self._due if at > now]
        return come

    def seconds_until_due(self, now: float) -> float | None:
        """Return when `due` has something again; None: not before somebody asks."""
        return max(0.0, min(at for at, _ in self._due) - now) if self._due else None
