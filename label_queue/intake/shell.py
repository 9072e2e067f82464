"""The HTTP face on Ray Serve, over the label queue in its own process."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, cast

from fastapi import FastAPI
from ray import serve

from label_queue.config import LabelsConfig
from label_queue.intake.app import build_app
from label_queue.intake.port import PeopleQueue
from label_queue.shell import LabelQueueShell
from protocol.remote import Remote
from reward_service.serve_patch import keep_replica_off_other_interfaces


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

    async def tell_failure(failure: str) -> None:
        # Not awaited: whoever waits for an answer has waited long enough.
        queue.send(LabelQueueShell.intake_failed, failure)

    def build() -> FastAPI:
        keep_replica_off_other_interfaces()
        return build_app(remote_people_queue(queue), config.intake, tell_failure)

    ingress = serve.deployment(
        name="label_intake", max_ongoing_requests=1_000, ray_actor_options={"num_cpus": 0}
    )(serve.ingress(build)())
    return ingress.bind()
