"""What the HTTP face asks of the label queue, wherever that lives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from label_queue.intake.schemas import LabelAnswer, LabelSubmission, RunInfo, Task
from protocol.errors import LabelError


class IntakeQueue(Protocol):
    """The people's side of `label_queue.queue.LabelQueue`, in process or across Ray."""

    async def authenticate(self, token: str) -> str:
        """Return the labeler a token belongs to, or raise Unauthenticated."""
        ...

    async def next_task(self, labeler_id: str, wait_s: float) -> Task | None:
        """Lease a task, waiting up to `wait_s` for one."""
        ...

    async def submit(
        self, labeler_id: str, submissions: Sequence[LabelSubmission]
    ) -> list[LabelAnswer | LabelError]:
        """Take labels, durable at return; one answer or refusal each."""
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
