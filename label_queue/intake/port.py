"""What the HTTP face asks of the label queue, wherever that lives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from label_queue.intake.owner_schemas import (
    Admission,
    CordBody,
    ExclusionPreview,
    GoldMade,
    Overview,
)
from label_queue.intake.schemas import (
    CordStanding,
    HeldTasks,
    LabelAnswer,
    LabelSubmission,
    Me,
    RunInfo,
    Task,
)
from label_queue.ledger.records import Role
from protocol.errors import LabelError


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Whose token or session it is."""

    labeler_id: str
    role: Role


class IntakeQueue(Protocol):
    """The people's side of `label_queue.queue.LabelQueue`, in process or across Ray."""

    async def authenticate(self, token: str) -> Identity:
        """Return whose bearer token or session it is, or raise Unauthenticated. Links are none."""
        ...

    async def open_link(self, code: str) -> str:
        """Use up a one-time link; return a new session's token. Raises Unauthenticated."""
        ...

    async def leave(self, token: str) -> None:
        """End a session. Idempotent."""
        ...

    async def next_task(self, labeler_id: str, wait_s: float) -> Task | None:
        """Lease a task, waiting up to `wait_s` for one."""
        ...

    async def submit(
        self, labeler_id: str, submissions: Sequence[LabelSubmission], system: str = "api"
    ) -> list[LabelAnswer | LabelError]:
        """Take labels from a `system`, durable at return; one answer or refusal each."""
        ...

    async def heartbeat(self, labeler_id: str, assignment_id: str) -> float:
        """Renew a lease and return when it ends."""
        ...

    async def reject(self, labeler_id: str, error: LabelError, payload: str) -> None:
        """Count a body refused at the door and keep a bounded copy."""
        ...

    async def run_info(self) -> RunInfo:
        """Return what labelers may know of the run."""
        ...

    async def held_tasks(self, labeler_id: str) -> HeldTasks:
        """Return the tasks a labeler holds and has not answered, oldest first; renews nothing."""
        ...

    async def me(self, labeler_id: str) -> Me:
        """Return what a labeler sees of themself."""
        ...

    async def pull_as_labeler(self, labeler_id: str, reason: str) -> CordStanding:
        """Stop the line. Pulling a pulled cord changes nothing: the first reason stands."""
        ...

    async def ring(self, connector: str, headers: Mapping[str, str], body: bytes) -> bool:
        """Take an outside tool's webhook; return False for one that came before.

        Raises UnknownTask for an unknown connector, Unauthenticated for one without proof.
        """
        ...


class OwnerQueue(Protocol):
    """The owner's side of `label_queue.queue.LabelQueue`. Errors are LabelErrors."""

    async def overview(self) -> Overview:
        """Return all that the owner's page shows."""
        ...

    async def wait_for_overview(self, after: float, timeout_s: float) -> Overview:
        """Return an overview made later than `after`, once something has changed or time is up."""
        ...

    async def admit(self, labeler_id: str, role: Role) -> Admission:
        """Give somebody a one-time link and a token. Each call gives others."""
        ...

    async def revoke(self, labeler_id: str, reason: str) -> None:
        """Void all tokens, links and sessions of somebody. Idempotent."""
        ...

    async def preview_exclusion(self, labeler_id: str, from_seq: int) -> ExclusionPreview:
        """Say what an exclusion would change. Raises UnknownTask for an unknown labeler."""
        ...

    async def exclude(self, labeler_id: str, from_seq: int, reason: str) -> ExclusionPreview:
        """Write an exclusion; above 2 % of the weight a refit is due at once."""
        ...

    async def reinstate(self, labeler_id: str, reason: str) -> ExclusionPreview:
        """Undo exclusion or suspension, by an event of its own."""
        ...

    async def pull(self, reason: str) -> CordBody:
        """Stop the line, as the owner."""
        ...

    async def release(self, reason: str) -> CordBody:
        """Let the line go on. Raises LabelConflict while a rollback is under way."""
        ...

    async def order_rollback(self, to_version: int, reason: str) -> CordBody:
        """Pull the cord if need be and order a rollback."""
        ...

    async def make_gold(self, query_id: str, choice: str) -> GoldMade:
        """Ask a past query as gold from now on, this answer being right."""
        ...


class PeopleQueue(IntakeQueue, OwnerQueue, Protocol):
    """Both sides: what the whole HTTP face stands on."""
