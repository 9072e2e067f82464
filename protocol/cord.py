"""The cord's messages: what happens to it, append-only, and how it hangs, the fold over that."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class _OnCord:
    """Something happened to the cord. Append-only, by time."""

    event_id: str
    """A uuid7."""
    actor: str
    """A labeler's id, "owner", or "guard" where the run itself pulled."""
    reason: str
    at: float
    """When it happened, Unix seconds on the server's clock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulled(_OnCord):
    """Somebody stopped the line."""

    offered_rollback: int | None = None
    """The policy version that a guard offers to restore."""
    guard: str = ""
    """Which guard, where `actor` is "guard"; e.g. "kl_sign"."""
    evidence: str = ""
    """What it saw, a file under the run's folder, e.g. "guards/0001-kl_sign.json"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Released(_OnCord):
    """Somebody let the line go on, for all reasons there were: as older ledgers have it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReasonReleased(_OnCord):
    """Somebody took one reason away; the line goes on when none is left."""

    pull_id: str
    """The `event_id` of the pull, or of the order of a rollback that pulled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RollbackOrdered(_OnCord):
    """Somebody ordered a rollback, which stops the line."""

    to_version: int
    """The policy version to restore."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RolledBack(_OnCord):
    """The learner did what was ordered. The line stays stopped."""

    restored_version: int
    """The policy version that was restored."""


CordEvent = Pulled | Released | ReasonReleased | RollbackOrdered | RolledBack
"""What changes how the cord hangs; written as `label_queue.ledger.event_lines` has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CordReason:
    """One reason for which the cord is pulled, until it is released by its own name."""

    pull_id: str
    """The `event_id` of what pulled: its name."""
    actor: str
    """Who, as in `CordEvent`."""
    reason: str
    at: float
    guard: str = ""
    """Which guard, where `actor` is "guard"."""
    evidence: str = ""
    """What the guard saw, a file under the run's folder."""
    offered_rollback: int | None = None
    """The policy version that the guard offers to restore."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CordState:
    """How the cord hangs: the fold over cord events."""

    is_pulled: bool
    pulled_by: str = ""
    """Who pulled for the oldest open reason; the next two are of that reason, too."""
    reason: str = ""
    pulled_at: float = 0.0
    rollback_to: int | None = None
    """A policy version whose rollback was ordered and is not done yet."""
    offered_rollback: int | None = None
    """A policy version that a guard which pulled the cord offers to restore."""
    reasons: tuple[CordReason, ...] = ()
    """All that are open, oldest first; each is released by itself."""
