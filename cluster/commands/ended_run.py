"""The owner's side of a run that has ended: its ledger, opened directly.

What is written here counts in the next fit of whoever goes on with this ledger.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

from uuid6 import uuid7

from cluster.commands.owner_client import checked_body
from cluster.config_file import load_config
from cluster.run_folder import RunFolder
from label_queue.folds.view import LearnedLabels, LedgerView
from label_queue.intake.owner_schemas import Exclude, Reason, Undo
from label_queue.ledger.sql import SqlLedger
from label_queue.oversight.exclusion import Act, ExclusionPreview, OwnerEvents, is_news, preview
from label_queue.oversight.judgement import Evidence, assessments
from label_queue.quality.assessment import Assessment
from label_queue.state import LabelState
from protocol.errors import InputError
from protocol.labels import LabelChange, OwnerEvent


class EndedRun:
    """One ended run's owner. A context manager that holds the ledger's lock.

    Args:
        run: The run's folder.
        clock: Unix seconds.

    Raises:
        MissingError: The folder holds no run, or the run no ledger.
        ResourceError: Something else has the ledger open.
    """

    def __init__(self, run: Path, clock: Callable[[], float] = time.time) -> None:
        folder = RunFolder.existing(run)
        self._config = load_config(folder.config)
        self._quality = self._config.labels.quality
        self._clock = clock
        place = self._config.labels.ledger_place(folder.ledger)
        SqlLedger.open_to_read(place).close()  # a ledger that is not there is not made
        self._ledger = SqlLedger.open(place, str(folder.read_state("run_id")["run_id"]))
        self._events = OwnerEvents(new_id=lambda: str(uuid7()), clock=clock)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._ledger.close()

    def labelers(self) -> tuple[Assessment, ...]:
        """Return all labelers, by name."""
        state = self._state()
        return assessments(Evidence.of(state, state.access.known), self._quality)

    def preview(self, labeler_id: str, act: Act, from_seq: int = 0) -> ExclusionPreview:
        """Return what excluding somebody, reinstating them, or undoing either would change.

        Raises:
            InputError: Nobody is called so.
        """
        view = LedgerView.of(self._ledger)
        known = {event.labeler_id for event in view.events if isinstance(event, LabelChange)}
        if labeler_id not in known:
            raise InputError(
                f"{labeler_id!r} gave no label in this run; those who did: "
                f"{', '.join(sorted(known)) or 'nobody'}"
            )
        standings = self._state().history.standings
        change = self._events.of(act, labeler_id, from_seq, standings[labeler_id])
        learned = LearnedLabels(self._quality)
        return preview(view, learned, change, standings.after(change))

    def exclude(self, labeler_id: str, from_seq: int, reason: str) -> ExclusionPreview:
        """Leave somebody's labels out of every fit from now on; see `preview`. Idempotent.

        Raises:
            InputError: Nobody is called so, or the reason is none that a run that goes on takes.
        """
        body = checked_body(Exclude, from_seq=from_seq, reason=reason)
        changes = self.preview(labeler_id, "exclude", body.from_seq)
        event = self._events.exclude(labeler_id, body.from_seq, body.reason)
        self._write_news("exclude", event, from_seq)
        return changes

    def reinstate(self, labeler_id: str, reason: str) -> ExclusionPreview:
        """Undo an exclusion or a suspension; see `preview`. Idempotent.

        Raises:
            InputError: As `exclude`.
        """
        body = checked_body(Reason, reason=reason)
        changes = self.preview(labeler_id, "reinstate")
        self._write_news("reinstate", self._events.reinstate(labeler_id, body.reason))
        return changes

    def undo(self, labeler_id: str, act_id: str, reason: str) -> ExclusionPreview:
        """Take the newest exclusion or reinstatement of somebody back; see `preview`.

        Raises:
            InputError: As `exclude`.
        """
        body = checked_body(Undo, act_id=act_id, reason=reason)
        changes = self.preview(labeler_id, "undo")
        self._write_news("undo", self._events.undo(labeler_id, body.act_id, body.reason))
        return changes

    def _write_news(self, act: Act, event: OwnerEvent, from_seq: int = 0) -> None:
        standing = self._state().history.standings[event.labeler_id]
        if is_news(act, from_seq, standing):
            self._ledger.write([event])

    def _state(self) -> LabelState:
        state = LabelState(self._config.labels, self._config.label_schedule, self._clock)
        state.load(self._ledger)
        return state
