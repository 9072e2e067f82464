"""The Ray part of the label queue: one actor that owns the ledger, and the Serve face before it."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import ray
from fastapi import FastAPI
from ray import serve
from ray.exceptions import RayTaskError

from label_queue.config import LabelsConfig, Mode
from label_queue.intake.app import build_app
from label_queue.intake.schemas import LabelAnswer, LabelSubmission, RunInfo, Task
from label_queue.ledger_sql import SqlLedger
from label_queue.queue import LabelQueue
from label_queue.schedule import LabelSchedule
from protocol.errors import AndonError, LabelError
from reward_service.shell import keep_replica_off_other_interfaces

T = TypeVar("T")


@ray.remote(max_concurrency=2_000)
class LabelQueueShell(LabelQueue):
    """The label queue as one async Ray actor, sole owner of the ledger.

    Waiting calls cost nothing but a place among the concurrent ones.
    """

    def __init__(
        self,
        config: LabelsConfig,
        *,
        run_id: str,
        ledger_path: str,
        episodes: int,
        mode: Mode,
        seed: int,
    ) -> None:
        """Open or make the run's ledger.

        `episodes` is N_π, those of the whole run. Raises ResourceError or InputError where the
        ledger cannot be opened.
        """
        super().__init__(
            SqlLedger.open(Path(ledger_path), run_id),
            config,
            LabelSchedule.of(config, num_episodes=episodes, mode=mode),
            run_id=run_id,
            seed=seed,
        )


class RemoteIntakeQueue:
    """The `IntakeQueue` port over an actor handle: its errors are those of the queue itself."""

    def __init__(self, handle: Any) -> None:
        self._handle = handle

    async def authenticate(self, token: str) -> str:
        """Return the labeler a token belongs to, or raise Unauthenticated."""
        return await _unwrapped(self._handle.authenticate.remote(token))

    async def next_task(self, labeler_id: str, wait_s: float) -> Task | None:
        """Lease a task, waiting up to `wait_s` for one."""
        return await _unwrapped(self._handle.next_task.remote(labeler_id, wait_s))

    async def submit(
        self, labeler_id: str, submissions: Sequence[LabelSubmission]
    ) -> list[LabelAnswer | LabelError]:
        """Take labels, durable at return; one answer or refusal each."""
        return await _unwrapped(self._handle.submit.remote(labeler_id, submissions))

    async def heartbeat(self, labeler_id: str, assignment_id: str) -> float:
        """Renew a lease and return when it ends."""
        return await _unwrapped(self._handle.heartbeat.remote(labeler_id, assignment_id))

    async def reject(self, labeler_id: str, error: LabelError, payload: str) -> None:
        """Count a body refused at the door and keep a bounded copy."""
        await _unwrapped(self._handle.reject.remote(labeler_id, error, payload))

    async def run_info(self) -> RunInfo:
        """Return what labelers may know of the run."""
        return await _unwrapped(self._handle.run_info.remote())


async def _unwrapped(reference: Awaitable[T]) -> T:
    """Await a remote call; raise Andon's own errors as they were raised, without Ray's wrapping."""
    try:
        return await reference
    except RayTaskError as error:
        if isinstance(error.cause, AndonError):
            raise error.cause from None
        raise


def build_intake_app(queue_handle: Any, config: LabelsConfig) -> Any:
    """Return the Serve application that stands before the label queue, to be run at prefix "/".

    Keeps no state, so it may have replicas. Waiting labelers each hold a request open.
    """

    def build() -> FastAPI:
        keep_replica_off_other_interfaces()
        return build_app(RemoteIntakeQueue(queue_handle), config.intake)

    ingress = serve.deployment(
        name="label_intake", max_ongoing_requests=1_000, ray_actor_options={"num_cpus": 0}
    )(serve.ingress(build)())
    return ingress.bind()
