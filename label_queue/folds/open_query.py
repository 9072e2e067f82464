"""A query that wants answers, and who holds it."""

from __future__ import annotations

from dataclasses import dataclass, field

from label_queue.kept import kept
from protocol.labels import ComparisonQuery


@kept()
@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """A task in somebody's hands. Times in Unix seconds."""

    since: float
    """When it was handed to them, however often it was renewed."""
    until: float
    """When it is over, unless it is renewed."""


@kept()
@dataclass(slots=True, kw_only=True)
class OpenQuery:
    """A query with slots to fill."""

    query: ComparisonQuery
    wanted: int
    """Answers still wanted, leased or not."""
    answered_by: set[str] = field(default_factory=set)
    holders: dict[str, str] = field(default_factory=dict)
    """assignment_id by labeler, of those who have not answered; the lease may be over."""
    leases: dict[str, Lease] = field(default_factory=dict)
    """Leases by assignment_id."""

    def free_slots(self, now: float) -> int:
        """Return the slots that nobody holds; a lease past its end holds none."""
        return self.wanted - sum(lease.until > now for lease in self.leases.values())

    def held_since(self, labeler_id: str) -> float:
        """Return when a labeler who holds it, or let it lapse, was handed it."""
        return self.leases[self.holders[labeler_id]].since

    def may_resume(self, labeler_id: str, now: float, max_age_s: float) -> bool:
        """Say whether a labeler let it lapse, and has not held it for too long."""
        own = self.holders.get(labeler_id)
        if own is None:
            return False
        lease = self.leases[own]
        return lease.until <= now < lease.since + max_age_s

    def slots_to_come(self, now: float, overdue_s: float) -> int:
        """Return the slots still to be filled, those held for longer than that left out."""
        return self.wanted - sum(
            lease.until > now > lease.since + overdue_s for lease in self.leases.values()
        )
