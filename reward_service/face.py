"""The service's HTTP face as a process of its own: one actor, one port, before all replicas.

Not Serve's own front: a request would pay there for a proxy and a replica, each with an HTTP
server's and a call's cost (docs/adr/0020-reward-over-http.md). What comes while messages are on
their way to the replicas crosses together, so that many small requests share a forward pass.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from protocol.errors import ScoringFailed
from protocol.fits import RewardVersion
from protocol.gathering import Gathered, Outcome
from protocol.http_server import HttpServer, end_process, listen
from protocol.messages import Score
from protocol.remote import Remote, StartedAgain, named
from reward_service.config import RewardServiceConfig
from reward_service.http import build_http_app
from reward_service.shell import AnnouncerShell, answered

FACE_OPTIONS = {
    "num_cpus": 0,
    # It keeps nothing, and every method may be called twice: so Ray starts it again, at the same
    # port.
    "max_restarts": -1,
    "max_task_retries": -1,
}
"""What `spawn` starts the face with, on the machine whose loopback it is to listen at."""
PORT = "cluster.reward_port"
"""Key of the config that names its port."""
MESSAGES_A_REPLICA = 2
"""On their way at a time: one is scored while the next one fills."""


class RewardFace(StartedAgain):
    """The HTTP face, as an async Ray actor that listens at an address.

    Keeps no state. Whoever sent a request that was on its way when it died gets no answer, and
    sends it again.
    """

    def __init__(
        self,
        replicas: Any,
        announcer_name: str,
        config: RewardServiceConfig,
        *,
        host: str,
        port: int,
        token_digest: str | None = None,
    ) -> None:
        """Listen, and begin to answer; Ray makes an actor of this kind within its event loop.

        Args:
            replicas: Serve's handle of them.
            announcer_name: Of the actor that says which version is served.
            config: The same the service was built with.
            host: Where to listen, of loopback.
            port: The same after each restart.
            token_digest: SHA-256 of the token that it asks for; None: it asks for none.

        Raises:
            ResourceError: The port is somebody else's.
            ActorDied: There is no such announcer.
        """
        announcer: Remote[AnnouncerShell] = named(announcer_name, "the reward announcer")
        self._replicas = replicas
        self._timeout_s = config.timeout_s
        self._gathered: Gathered[list[str]] = Gathered(
            self._send,
            at_once=MESSAGES_A_REPLICA * config.replicas,
            most=config.max_batch_size,
            cost=len,
        )

        async def served() -> RewardVersion | None:
            return await announcer.ask(AnnouncerShell.served)

        app = build_http_app(score=self._score, served=served, token_digest=token_digest)
        self._server = HttpServer(app, listen(host, port, PORT))
        self._server.start(end_process)

    async def ready(self) -> None:
        """Return once requests are taken, as they are from the start on. May be called twice."""

    async def stop(self) -> None:
        """Take no more requests; answer those under way. May be called twice."""
        await self._server.stop()

    async def _score(self, texts: list[str]) -> list[Score]:
        scores: list[Score] = await self._gathered.ask(texts)
        return scores

    async def _send(self, requests: list[list[str]]) -> Sequence[Outcome]:
        """Have one replica score the texts of several requests.

        Raises:
            ScoringFailed: None answered in time, or none could; it says which.
        """
        deadline = asyncio.timeout(self._timeout_s)
        try:
            async with deadline:
                outcomes: list[Outcome] = await answered(
                    self._replicas.score_texts.remote(requests)
                )
        except TimeoutError as error:
            if not deadline.expired():  # a ScoringFailed, of a replica that died
                raise
            raise ScoringFailed(f"no reward replica answered in {self._timeout_s:g} s") from error
        return outcomes
