"""Standing: whether a labeler's labels count.

                 gold test: good         gold test or drift: bad
    probation ───────────────────▶ active ──────────────────────▶ suspended
        │                          ▲    │ drift: bad, of whom much comes │
        │                          │    └─────────────▶ questioned       │
        │                          └──── reinstate ─────────┤            │
        └────────────── exclude ──▶ excluded ◀── exclude ───┴────────────┘
                                       └── reinstate ──▶ active

    no label yet ── appoint ──▶ judge ── exclude ──▶ excluded ── reinstate ──▶ judge

Held labels are stored, and not learned from: all of those on probation or suspended by the gold
test; of those against whom drift speaks, the labels since the drift began, which is after the last
gold answer that left the sum at 0 (Page 1954). Somebody who gives a large share of all labels is
not suspended by drift but in question: they go on labelling, their labels are held, and the owner
decides. Excluded, those from a sequence number on are left out. An exclusion only ever takes away:
what is held when it comes stays held, from whatever number on. The owner's newest exclusion or
reinstatement can be undone, as if it had not been. Disagreement with the reward model changes no
state.

Nothing that a judge says is ever learned, whatever the query and however it came: here that is
decided, since all that trains, counts towards l(n) or makes anchors asks a standing. Whoever gave a
label before they were appointed is no judge.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from label_queue.kept import kept

LabelerState = Literal["probation", "active", "questioned", "suspended", "excluded", "judge"]
GoldAlarm = Literal["gold", "drift"]


@kept()
@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One labeler, as the ledger up to some event has it."""

    state: LabelerState
    excluded_from: int | None = None
    """Sequence number from which on labels are left out; None: none are."""
    held_from: int | None = None
    """Sequence number from which on labels are held, of one who is excluded too; 0: all; None: none
    are."""
    alarm: GoldAlarm | None = None
    """Which test speaks against them, if one does and the owner has not lifted it."""
    gold_right: int = 0
    gold_wrong: int = 0
    is_judge: bool = False
    """Whether what they label judges and never trains; also of one who is excluded."""
    gold_against: float = 0.0
    """What speaks against them by the gold test that goes on, nats, at least 0."""
    undoable: str | None = None
    """The event id of the owner's newest act about them, if it can be undone."""

    @property
    def is_held(self) -> bool:
        """Whether labels wait for a decision."""
        return self.state in ("probation", "questioned", "suspended")

    @property
    def gets_tasks(self) -> bool:
        """Whether the desk hands them tasks."""
        return self.state in ("probation", "active", "questioned", "judge")

    @property
    def may_revise(self) -> bool:
        """Whether they may change or take back an answer: not after a decision that rests on it."""
        return self.state in ("probation", "active", "judge")

    @property
    def trains_until(self) -> int | None:
        """Sequence number from which on labels are held or left out; None: none are."""
        if self.is_judge:
            return 0
        return min((each for each in self._limits if each is not None), default=None)

    @property
    def _limits(self) -> tuple[int | None, int | None]:
        return self.held_from, self.excluded_from

    def trains(self, seq: int) -> bool:
        """Say whether a label of that sequence number may train."""
        until = self.trains_until
        return until is None or seq < until

    def judges(self, seq: int) -> bool:
        """Say whether a label of that sequence number counts among those of judges."""
        return self.is_judge and (self.excluded_from is None or seq < self.excluded_from)

    def trains_like(self, other: Standing) -> bool:
        """Say whether whatever may train by this standing may by another, and nothing else."""
        return (*self._limits, self.is_judge) == (*other._limits, other.is_judge)


NEWCOMER = Standing(state="active")
"""Standing of somebody without labels, where there is no gold."""
