"""The present of a run's label side: a fold over the ledger."""

from __future__ import annotations

from collections.abc import Callable

from label_queue.access import Access
from label_queue.board import QueryBoard
from label_queue.config import LabelsConfig
from label_queue.figures import LabelFigures
from label_queue.history import LabelHistory
from label_queue.leases import LeaseTerms
from label_queue.ledger import LabelerToken, Ledger, Record
from label_queue.schedule import LabelSchedule
from label_queue.signals import Change
from protocol.errors import LoopEnded
from protocol.labels import Assignment, ComparisonQuery, LabelEvent


class LabelState:
    """Everything the ledger says, ready to be asked; the same after a restart.

    Only the leases' renewals and the moving figures are lost in a crash.
    """

    def __init__(
        self, config: LabelsConfig, schedule: LabelSchedule, clock: Callable[[], float]
    ) -> None:
        self.board = QueryBoard(initial=schedule.initial, interval=schedule.interval)
        self.history = LabelHistory()
        self.terms = LeaseTerms(config.lease)
        self.access = Access(
            per_s=config.intake.requests_per_s, burst=config.intake.request_burst, clock=clock
        )
        self.figures = LabelFigures(self.board, self.history)
        self.num_dead_letters = 0
        self.episodes = 0
        """The run's clock, n of l(n); not in the ledger, the controller tells."""
        self.change = Change()
        self.is_closed = False

    def load(self, ledger: Ledger) -> None:
        """Take in all that a ledger holds."""
        records: list[Record] = [
            *ledger.tokens(),
            *ledger.queries(),
            *ledger.assignments(),
            *ledger.events(),
            *ledger.dead_letters(),
        ]
        for record in records:
            self.apply(record)

    def apply(self, record: Record) -> None:
        """Take in a record that is on disk. One taken in before changes nothing."""
        if isinstance(record, ComparisonQuery):
            self.board.add_query(record)
        elif isinstance(record, Assignment):
            self.board.add_assignment(record)
        elif isinstance(record, LabelEvent):
            self._apply_event(record)
        elif isinstance(record, LabelerToken):
            self.access.add(record)
        else:
            self.num_dead_letters += 1

    def _apply_event(self, event: LabelEvent) -> None:
        if not self.history.apply(event):
            return
        self.board.apply(event)
        if event.type == "submit":
            assignment = self.board.assignments[event.assignment_id]
            held_s = event.received_at - assignment.created_at
            self.terms.observe(held_s if event.active_ms is None else event.active_ms / 1000)
        self.change.notify()

    def refuse_if_closed(self) -> None:
        """Raise LoopEnded once the queue is closed."""
        if self.is_closed:
            raise LoopEnded("the label queue was closed")
