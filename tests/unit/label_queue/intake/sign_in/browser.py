"""Somebody with a browser, before the labelling face and a provider on loopback."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import httpx

from label_queue.intake.app import FacedQueue, build_app
from label_queue.intake.public_address import Site
from label_queue.intake.sign_in.flow import CALLBACK, SignIn
from label_queue.sign_in_config import OidcConfig
from tests.support.labels import ManualClock
from tests.support.oidc_provider import CLIENT_SECRET
from tests.unit.label_queue.intake.client import LIMITS

SITE = Site(run_id="run-1", public_url="http://127.0.0.1/run-a")


@dataclass(slots=True)
class Clocks:
    """What the intake's clocks show: at the start the time it is, for the provider has its own."""

    wall: ManualClock
    monotonic: ManualClock

    def pass_s(self, seconds: float) -> None:
        self.wall.now += seconds
        self.monotonic.now += seconds


def clocks() -> Clocks:
    return Clocks(ManualClock(time.time()), ManualClock())


class Visitor:
    """A browser: one jar of cookies, and redirects followed when told to."""

    def __init__(
        self,
        queue: FacedQueue,
        config: OidcConfig,
        at: Clocks,
        site: Site = SITE,
        secret: str = CLIENT_SECRET,
        base_url: str = "",
    ) -> None:
        self.failures: list[str] = []
        sign_in = SignIn(config, secret, site, clock=at.wall, monotonic=at.monotonic)
        app = build_app(queue, LIMITS, self._note, site=site, sign_in=sign_in)
        self.here = httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url=base_url or f"{site.public_url}"
        )
        self._there = httpx.AsyncClient(trust_env=False, verify=False)

    async def _note(self, failure: str) -> None:
        self.failures.append(failure)

    async def go_to_provider(self, page: str = "") -> httpx.Response:
        """Press the button; return the provider's answer to pressing its own."""
        begun = await self.here.get("/sign-in", params={"next": page} if page else {})
        assert begun.status_code == 303, begun.text
        return await self._there.post(begun.headers["location"])

    async def come_back(self, answer: httpx.Response, **changes: str) -> httpx.Response:
        """Follow the provider back, with what it said or with something else."""
        back = httpx.URL(answer.headers["location"])
        return await self.here.get(CALLBACK, params={**back.params, **changes})

    async def sign_in(self, page: str = "") -> httpx.Response:
        return await self.come_back(await self.go_to_provider(page))

    async def close(self) -> None:
        await self.here.aclose()
        await self._there.aclose()


Visit = Callable[..., Visitor]
"""Returns another browser; whatever a Visitor takes may be given."""
