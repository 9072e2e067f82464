"""The Ray part of the label queue: one actor that owns the ledger, and the Serve face before it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast

from fastapi import FastAPI
from ray import serve

from label_queue.asking.schedule import LabelSchedule
from label_queue.config import LabelsConfig, Mode
from label_queue.intake.app import build_app
from label_queue.intake.port import PeopleQueue
from label_queue.labeling.guidelines import read_guidelines
from label_queue.ledger.sql import SqlLedger
from label_queue.queue import LabelQueue
from protocol.remote import Remote
from reward_service.serve_patch import keep_replica_off_other_interfaces

QUEUE_OPTIONS = {"num_cpus": 0, "max_concurrency": 2_000}
"""What `spawn` starts the queue with: calls that wait cost nothing but a place among these."""


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
        ledger cannot be opened, MissingError where the guidelines are not there.
        """
        super().__init__(
            SqlLedger.open(Path(ledger_path), run_id),
            config,
            LabelSchedule.of(config, num_episodes=episodes, mode=mode),
            run_id=run_id,
            seed=seed,
            guidelines=read_guidelines(config.guidelines),
        )


class _Forwarder:
    """Answers every method of a port by asking the actor; its errors are those of the queue."""

    def __init__(self, queue: Remote[LabelQueueShell]) -> None:
        self._queue = queue

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        if not hasattr(PeopleQueue, name):
            raise AttributeError(f"the label queue's ports have no {name!r}")

        async def ask(*args: object) -> Any:
            return await self._queue.ask(getattr(LabelQueueShell, name), *args)

        return ask


def remote_people_queue(queue: Remote[LabelQueueShell]) -> PeopleQueue:
    """Return both ports of the HTTP face over the label queue's process."""
    return cast(PeopleQueue, _Forwarder(queue))


def build_intake_app(queue: Remote[LabelQueueShell], config: LabelsConfig) -> Any:
    """Return the Serve application that stands before the label queue, to be run at prefix "/".

    Keeps no state, so it may have replicas. Waiting labelers each hold a request open.
    """

    def build() -> FastAPI:
        keep_replica_off_other_interfaces()
        return build_app(remote_people_queue(queue), config.intake)

    ingress = serve.deployment(
        name="label_intake", max_ongoing_requests=1_000, ray_actor_options={"num_cpus": 0}
    )(serve.ingress(build)())
    return ingress.bind()
