"""Label events as they stand: who said what, in which revision, and how many there are."""

from __future__ import annotations

from bisect import bisect_right

from protocol.labels import LabelEvent

PREFERENCES = ("choice", "ranking", "tie")
"""Outcomes that train; the others are stored and asked for anew."""


class LabelHistory:
    """All label events by `seq`, and the counts the schedule and the coverage figure need."""

    def __init__(self) -> None:
        self.events: list[LabelEvent] = []
        self.num_preferences = 0
        """Labels that state a preference: what counts towards l(n)."""
        self.num_retracted = 0
        self._by_id: dict[str, LabelEvent] = {}
        self._latest: dict[str, LabelEvent] = {}
        self._submits: list[LabelEvent] = []

    @property
    def last_seq(self) -> int:
        """The newest event's place in the ledger; 0 before the first."""
        return self.events[-1].seq if self.events else 0

    @property
    def num_submitted(self) -> int:
        """Distinct labels received, whatever they say."""
        return len(self._submits)

    def submitted_through(self, seq: int) -> int:
        """Return how many distinct labels had been received up to `seq`."""
        return bisect_right(self._submits, seq, key=lambda event: event.seq)

    def submits(self, start: int, seq: int) -> list[LabelEvent]:
        """Return the first answers received up to `seq`, from the start-th on."""
        return self._submits[start : self.submitted_through(seq)]

    def received_since(self, time: float) -> list[LabelEvent]:
        """Return the first answers received after `time`."""
        return self._submits[bisect_right(self._submits, time, key=lambda e: e.received_at) :]

    def find(self, event_id: str) -> LabelEvent | None:
        """Return the event of that id, if it took effect."""
        return self._by_id.get(event_id)

    def latest(self, label_id: str) -> LabelEvent | None:
        """Return a label's newest event, which may be its retraction."""
        return self._latest.get(label_id)

    def apply(self, event: LabelEvent) -> bool:
        """Take the next event; return False for one that took effect before."""
        if event.event_id in self._by_id:
            return False
        before = self._latest.get(event.label_id)
        self.events.append(event)
        self._by_id[event.event_id] = event
        if event.type == "submit":
            self._submits.append(event)
        self.num_retracted += event.type == "retract"
        if event.type in ("submit", "revise", "retract"):
            self._latest[event.label_id] = event
            self.num_preferences += states_preference(event) - states_preference(before)
        return True


def states_preference(event: LabelEvent | None) -> bool:
    """Say whether a label's newest event is one the reward model can learn from."""
    return event is not None and event.type != "retract" and event.outcome in PREFERENCES
