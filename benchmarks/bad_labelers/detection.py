"""When each labeler was found out, read from the ledger of a session."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from label_queue.folds.history import LabelHistory
from label_queue.folds.tallies import Tallies
from label_queue.folds.view import LedgerView
from label_queue.ledger.sql import SqlLedger
from label_queue.quality.assessment import assess_tallies
from label_queue.quality_config import QualityConfig
from protocol.labels import LabelerEvent, Submitted

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
    """Return everybody, sorted by name. A pure function of ledger and config; one pass over it."""
    history = LabelHistory(view.queries, config)
    tallies = Tallies(view.queries, view.assignments, history, config)
    found: dict[str, _Found] = defaultdict(_Found)
    for event in view.events:
        assert isinstance(event, LabelerEvent), "nobody changes the gold of a session"
        history.apply(event)
        tallies.apply(event)
        name, standing = event.labeler_id, history.standings[event.labeler_id]
        own = found[name]
        own.labels += 1
        if standing.state == "suspended" and own.suspended_at is None:
            own.suspended_at, own.alarm = own.labels, standing.alarm or ""
        if own.labels % LOOK_EVERY_LABELS == 0:
            seen = assess_tallies(
                tallies.snapshot(),
                {name: standing},
                config,
                held={},
                reliability={},
                doubted=frozenset(),
                late_changes={},
                weight_shares={},
            )
            own.look(seen[name].flags)
    return [own.detection(name) for name, own in sorted(found.items())]


def later_gold(view: LedgerView, first_tasks: int) -> dict[str, float]:
    """Return the share of gold in everybody's labels after so many, by name."""
    given: Counter[str] = Counter()
    gold: Counter[str] = Counter()
    for event in view.events:
        assert isinstance(event, Submitted), "nobody changes anything in a session"
        given[event.labeler_id] += 1
        if given[event.labeler_id] > first_tasks:
            gold[event.labeler_id] += view.queries[event.query_id].purpose == "gold"
    return {name: gold[name] / (n - first_tasks) for name, n in given.items() if n > first_tasks}


@dataclass(slots=True)
class _Found:
    """What is known of one labeler so far."""

    labels: int = 0
    suspended_at: int | None = None
    alarm: str = ""
    flagged_at: int | None = None
    flags: set[str] = field(default_factory=set)

    def look(self, flags: Sequence[str]) -> None:
        """Take the flags that stand against them now."""
        self.flags.update(flags)
        if flags and self.flagged_at is None:
            self.flagged_at = self.labels

    def detection(self, name: str) -> Detection:
        """Return what became of them."""
        moments = [each for each in (self.suspended_at, self.flagged_at) if each is not None]
        return Detection(
            name=name,
            labels=self.labels,
            suspended_at=self.suspended_at,
            alarm=self.alarm,
            flagged_at=min(moments, default=None),
            flags=tuple(sorted(self.flags | ({self.alarm} if self.alarm else set()))),
        )
