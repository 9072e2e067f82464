"""When each labeler was found out, read from the ledger of a session."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from label_queue.config import QualityConfig
from label_queue.folds.assessed import assess
from label_queue.folds.view import LedgerView
from label_queue.ledger.sql import SqlLedger
from label_queue.quality.standing import Standings
from protocol.labels import LabelerEvent, LabelEvent, Submitted

LOOK_EVERY_LABELS = 5
"""Labels that a labeler gives between two looks at their flags."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Detection:
    """What became of one labeler."""

    name: str
    labels: int
    """Labels they gave in all, gold and repeats among them."""
    suspended_at: int | None
    """Labels they had given when they were suspended; None: never."""
    alarm: str
    """The test that suspended them; empty: none."""
    flagged_at: int | None
    """Labels they had given when they were first flagged or suspended; None: never."""
    flags: tuple[str, ...]
    """All flags that ever stood against them."""


def read_view(path: Path) -> LedgerView:
    """Return what a session's ledger holds."""
    ledger = SqlLedger.open_to_read(path)
    view = LedgerView.of(ledger)
    ledger.close()
    return view


def detections(view: LedgerView, config: QualityConfig) -> list[Detection]:
    """Return everybody, sorted by name. A pure function of ledger and config."""
    own: dict[str, list[LabelEvent]] = {}
    for event in view.events:
        assert isinstance(event, LabelerEvent), "nobody changes the gold of a session"
        own.setdefault(event.labeler_id, []).append(event)
    suspensions = _suspensions(view, config)
    return [_detect(name, own[name], view, config, suspensions) for name in sorted(own)]


def _suspensions(view: LedgerView, config: QualityConfig) -> dict[str, tuple[int, str]]:
    """Return, by who was suspended: labels given by then, and the test that did it."""
    standings = Standings(view.queries, config)
    given: Counter[str] = Counter()
    found: dict[str, tuple[int, str]] = {}
    for event in view.events:
        assert isinstance(event, LabelerEvent), "nobody changes the gold of a session"
        name = event.labeler_id
        given[name] += isinstance(event, Submitted)
        standings.apply(event)
        standing = standings[name]
        if standing.state == "suspended" and name not in found:
            found[name] = given[name], standing.alarm or ""
    return found


def _detect(
    name: str,
    events: Sequence[LabelEvent],
    view: LedgerView,
    config: QualityConfig,
    suspensions: Mapping[str, tuple[int, str]],
) -> Detection:
    suspended_at, alarm = suspensions.get(name, (None, ""))
    flagged_at: int | None = None
    flags: set[str] = set()
    # Nobody's flags depend on what others said.
    for count in range(LOOK_EVERY_LABELS, len(events) + 1, LOOK_EVERY_LABELS):
        seen = assess(view.queries, view.assignments, events[:count], config)[name]
        flags.update(seen.flags)
        if seen.flags and flagged_at is None:
            flagged_at = count
    moments = [moment for moment in (suspended_at, flagged_at) if moment is not None]
    return Detection(
        name=name,
        labels=len(events),
        suspended_at=suspended_at,
        alarm=alarm,
        flagged_at=min(moments, default=None),
        flags=tuple(sorted(flags | ({alarm} if alarm else set()))),
    )
