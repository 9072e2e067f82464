"""The HTTP face on Ray Serve, over the label queue in its own process."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from fastapi import FastAPI
from ray import serve

from label_queue.config import LabelsConfig
from label_queue.connectors.outposts import Outposts
from label_queue.intake.app import build_app
from label_queue.intake.public_address import Site
from label_queue.shell import LabelQueueShell, RemoteLabelQueue
from label_queue.sides.intake_failures import IntakeFailures
from protocol.remote import Remote, Sides, side_of
from reward_service.serve_patch import keep_replica_off_other_interfaces


def build_intake_app(
    queue: Remote[LabelQueueShell], config: LabelsConfig, site: Site | None = None
) -> Any:
    """Return the Serve application that stands before the label queue, to be run at prefix "/".

    Keeps no state, so it may have replicas. Waiting labelers each hold a request open. `site` is as
    `build_app` takes it.
    """

    async def tell_failure(failure: str) -> None:
        # Not awaited: whoever waits for an answer has waited long enough.
        queue.send(Sides.on_side, IntakeFailures, IntakeFailures.add, (failure, uuid4().hex), {})

    def build() -> FastAPI:
        keep_replica_off_other_interfaces()
        sides = RemoteLabelQueue(queue)
        return build_app(sides, config.intake, tell_failure, side_of(queue, Outposts), site)

    ingress = serve.deployment(
        name="label_intake", max_ongoing_requests=1_000, ray_actor_options={"num_cpus": 0}
    )(serve.ingress(build)())
    return ingress.bind()
