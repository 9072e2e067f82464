"""Chromium, and people who use the pages in it.

Where Chromium is missing these tests are skipped; with ANDON_REQUIRE_BROWSER=1 that is an error.
Pictures go to $ANDON_SCREENSHOTS, or build/screenshots.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.async_api import Browser, ConsoleMessage, Dialog, Page, async_playwright, expect

from label_queue.ledger.records import Role
from label_queue.queue import LabelQueue
from tests.support.fake_people_queue import FakePeopleQueue
from tests.support.needed import needed
from tests.support.page_server import serve_people

ROOT = Path(__file__).resolve().parents[2]
SCREENSHOTS = Path(os.environ.get("ANDON_SCREENSHOTS", ROOT / "build" / "screenshots"))
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
DESKTOP = (1280, 860)
PHONE = (390, 844)

expect.set_options(timeout=15_000)


@pytest.fixture(scope="session")
def screenshots() -> Path:
    """The folder of the pictures."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    return SCREENSHOTS


def find_chromium() -> str | None:
    """Return Chromium's path, if there is one."""
    return next((path for path in map(shutil.which, NAMES) if path is not None), None)


@pytest.fixture
def chromium_args() -> list[str]:
    """What Chromium is started with."""
    # Its own sandbox does not run as root.
    return ["--no-sandbox"] if os.geteuid() == 0 else []


@pytest.fixture
async def chromium(chromium_args: list[str]) -> AsyncIterator[Browser]:
    missing = f"no Chromium on PATH ({', '.join(NAMES)}); `apt-get install chromium` gives one"
    path = needed(find_chromium(), "ANDON_REQUIRE_BROWSER", missing)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=chromium_args)
        yield browser
        await browser.close()


@dataclass
class Visitor:
    """Somebody's browser window, and all that went wrong in it."""

    page: Page
    url: str
    errors: list[str] = field(default_factory=list)
    """Uncaught exceptions and what the Content-Security-Policy stopped."""
    dialogs: list[str] = field(default_factory=list)

    def watch(self) -> None:
        """Note what should never happen."""
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", self._hear)
        self.page.on("dialog", self._answer)

    async def _answer(self, dialog: Dialog) -> None:
        self.dialogs.append(dialog.type)
        await dialog.accept()

    def _hear(self, message: ConsoleMessage) -> None:
        if re.search("Content Security Policy|Trusted", message.text):
            self.errors.append(message.text)

    async def settle(self) -> None:
        """Wait until the page shows what it came to show."""
        ready = "main:not([data-filled=false]):not(:has(#loading:not([hidden])))"
        await expect(self.page.locator(f".labelling {ready}, .overseeing {ready}")).to_be_visible()

    async def reload(self) -> None:
        """Refresh the page."""
        await self.page.reload()
        await self.settle()

    async def press(self, *keys: str) -> None:
        """Type keys one after another."""
        for key in keys:
            await self.page.keyboard.press(key)

    async def give(self, *keys: str) -> None:
        """Answer the task on the page by these keys, and wait for the next to be there."""
        showing = re.compile(await self.page.locator("#task").get_attribute("data-showing") or "-")
        await self.press(*keys)
        await expect(self.page.locator("#task")).not_to_have_attribute("data-showing", showing)


Enter = Callable[..., Awaitable[Visitor]]

FORGED_FORM = """
  const form = document.createElement("form");
  form.method = "post";
  form.action = target + "/api/v1/owner/cord/pull";
  document.body.append(form);
  form.submit();
"""
"""What a page of another site does to have a browser pull the cord of the run at `target`."""


@pytest.fixture
async def people() -> FakePeopleQueue:
    return FakePeopleQueue()


@pytest.fixture
async def url(people: FakePeopleQueue) -> AsyncIterator[str]:
    async with serve_people(people) as address:
        yield address


@pytest.fixture
async def open_window(
    chromium: Browser, request: pytest.FixtureRequest, screenshots: Path
) -> AsyncIterator[Callable[..., Awaitable[Visitor]]]:
    """Opens windows; at the end each is photographed, and none may have met an error."""
    visitors: list[Visitor] = []

    async def open_at(
        url: str,
        *,
        size: tuple[int, int] = DESKTOP,
        dark: bool = False,
        locale: str = "en-US",
        has_clock: bool = False,
        has_touch: bool = False,
    ) -> Visitor:
        context = await chromium.new_context(
            viewport={"width": size[0], "height": size[1]},
            color_scheme="dark" if dark else "light",
            locale=locale,
            has_touch=has_touch,
            # Certificates of the tests sign themselves; on loopback's own addresses there are none.
            ignore_https_errors=True,
        )
        visitor = Visitor(await context.new_page(), url)
        visitor.watch()
        if has_clock:
            await visitor.page.clock.install()
        visitors.append(visitor)
        return visitor

    yield open_at
    name = re.sub(r"[^\w-]+", "-", request.node.name)
    for number, visitor in enumerate(visitors):
        await visitor.page.screenshot(path=screenshots / f"{name}-{number}.png")
        await visitor.page.context.close()
        assert visitor.errors == []


@pytest.fixture
async def enter(
    url: str, people: FakePeopleQueue, open_window: Callable[..., Awaitable[Visitor]]
) -> Enter:
    """Lets somebody in by a one-time link, over the fake queue."""

    async def come_in(name: str = "ann", role: Role = "labeler", **window: object) -> Visitor:
        visitor = await open_window(url, **window)
        admission = await people.owner.admit(name, role)
        await visitor.page.goto(url + admission.link)
        await visitor.page.get_by_role("button").click()
        await visitor.settle()
        return visitor

    return come_in


@pytest.fixture
async def come_in(
    url: str, queue: LabelQueue, open_window: Callable[..., Awaitable[Visitor]]
) -> Enter:
    """Lets somebody in by a one-time link and the keyboard, over a module's own real queue."""

    async def come_in(name: str = "olga", role: Role = "owner", **window: object) -> Visitor:
        visitor = await open_window(url, **window)
        await visitor.page.goto(url + (await queue.owner.admit(name, role)).link)
        await visitor.page.get_by_role("button").press("Enter")
        await visitor.settle()
        return visitor

    return come_in
