"""Signing in by a provider, in a browser: there, back, and out again."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import expect

from label_queue.config import IntakeConfig
from label_queue.intake.app import build_app
from label_queue.intake.public_address import Site
from label_queue.intake.sign_in.flow import SignIn
from tests.browser.conftest import Visitor
from tests.support.fake_people_queue import FakePeopleQueue
from tests.support.oidc_provider import CLIENT_SECRET, served_provider
from tests.support.page_server import serve
from tests.support.ports import free_port


async def test_somebody_signs_in_at_a_provider_and_leaves(
    people: FakePeopleQueue, open_window: Callable[..., Awaitable[Visitor]]
) -> None:
    """The provider is another site: the cookies must come along when it sends people back."""
    await people.owner.admit("ann@example.org", "labeler")
    port = free_port()
    async with served_provider() as provider:
        # Under another name than the pages', as a provider's is.
        provider.issuer = provider.issuer.replace("127.0.0.1", "localhost")
        site = Site(run_id="run-1", public_url=f"http://127.0.0.1:{port}")
        sign_in = SignIn(
            provider.config, CLIENT_SECRET, site, clock=time.time, monotonic=time.monotonic
        )
        app = build_app(people, IntakeConfig(), site=site, sign_in=sign_in)
        async with serve(app, port) as url:
            ann = await open_window(url)
            await ann.page.goto(url)
            button = ann.page.get_by_role("link", name="Sign in with Example ID")
            await expect(button).to_be_visible()
            found = await Axe().run(ann.page)
            assert found.response["violations"] == []
            await button.click()
            await expect(ann.page.get_by_role("heading")).to_have_text("Example ID")
            await ann.page.get_by_role("button", name="Go on as ann").click()
            await ann.settle()
            assert ann.page.url == f"{url}/"
            await expect(ann.page.get_by_text("ann@example.org")).to_be_visible()
            names = {cookie.get("name") for cookie in await ann.page.context.cookies()}
            assert names == {"andon_session_run-1"}
            await ann.page.get_by_role("button", name="Leave").click()
            await expect(button).to_be_visible()
            assert await ann.page.context.cookies() == []
            ann.errors.clear()  # Chromium logs each 401 there was
