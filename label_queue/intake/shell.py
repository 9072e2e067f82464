"""The HTTP face as a process of its own, over the label queue in its own: one actor, one port.

Not behind Ray Serve: a label would pay there for a proxy and a replica, each with an HTTP server's
and a Ray call's cost, and wait for Serve to start (docs/adr/0013-intake-on-a-port-of-its-own.md).
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING
from uuid import uuid4

from label_queue.config import IntakeConfig
from label_queue.connectors.outposts import Outposts
from label_queue.intake.app import build_app
from label_queue.intake.identity import is_identified
from label_queue.intake.public_address import Site
from label_queue.intake.queue_over_there import QueueOverThere
from label_queue.intake.server import PAGES_PORT, FaceServer
from label_queue.intake.sign_in.secret import read_client_secret
from label_queue.intake.wide_face import WideDoor, WideFace
from label_queue.sides.intake_failures import IntakeFailures
from protocol.http_server import end_process, listen
from protocol.remote import Sides, StartedAgain, named, side_of

if TYPE_CHECKING:
    from label_queue.intake.sign_in.flow import SignIn

INTAKE_OPTIONS = {
    "num_cpus": 0,
    # It keeps nothing, and every method may be called twice: so Ray starts it again, at the same
    # port, and repeats what it left unanswered.
    "max_restarts": -1,
    "max_task_retries": -1,
}
"""What `spawn` starts the intake with, on the machine whose loopback it is to listen at."""


class IntakeShell(StartedAgain):
    """The labelling APIs and pages, as an async Ray actor that listens at an address.

    Keeps no state. Whoever sent a request that was on its way when it died gets no answer, and
    sends it again.
    """

    def __init__(
        self,
        queue_name: str,
        config: IntakeConfig,
        site: Site,
        *,
        host: str,
        port: int,
        prompt_language: str = "",
        wide: WideFace | None = None,
    ) -> None:
        """Listen, and begin to answer; Ray makes an actor of this kind within its event loop.

        Args:
            queue_name: Of the label queue's actor.
            config: Limits of requests.
            site: Where the run is found.
            host: Where to listen, of loopback.
            port: The same after each restart.
            prompt_language: Of prompts that say none of their own; "": it is not known.
            wide: Where else to listen, beyond loopback.

        Raises:
            ResourceError: A port is somebody else's.
            ActorDied: There is no such queue.
            ConfigError: People sign in by a provider, and the environment lacks the client's
                secret.
        """
        queue = named(queue_name, "the label queue")

        async def tell_failure(failure: str) -> None:
            # Not awaited: whoever waits for an answer has waited long enough.
            queue.send(
                Sides.on_side, IntakeFailures, IntakeFailures.add, (failure, uuid4().hex), {}
            )

        bell, sign_in = side_of(queue, Outposts), open_sign_in(config, site)
        app = build_app(
            QueueOverThere(queue), config, tell_failure, bell, site, prompt_language, sign_in
        )
        self._servers = [FaceServer(app, listen(host, port, PAGES_PORT), config, is_identified)]
        if wide is not None:
            outside = listen(wide.host, wide.port, PAGES_PORT)
            door = WideDoor(app)
            self._servers.append(FaceServer(door, outside, config, is_identified, wide.tls))
        for server in self._servers:
            server.start(end_process)

    async def ready(self) -> None:
        """Return once requests are taken, as they are from the start on. May be called twice."""

    async def stop(self) -> None:
        """Take no more requests; answer those under way. May be called twice."""
        await asyncio.gather(*(server.stop() for server in self._servers))


def open_sign_in(config: IntakeConfig, site: Site) -> SignIn | None:
    """Return what takes people from an outside provider; None where none is configured.

    Raises ConfigError where the environment lacks the client's secret.
    """
    if config.oidc is None:
        return None
    # Imported where it is asked for: Authlib takes half a second.
    from label_queue.intake.sign_in.flow import SignIn

    secret = read_client_secret(config.oidc)
    return SignIn(config.oidc, secret, site, clock=time.time, monotonic=time.monotonic)
