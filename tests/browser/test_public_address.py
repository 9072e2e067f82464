"""The pages as remote people have them: through nginx with TLS, below a path."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from playwright.async_api import expect

from label_queue.intake.public_address import Site
from tests.browser.conftest import FORGED_FORM, Enter
from tests.support.fake_people_queue import FakePeopleQueue
from tests.support.page_server import serve, serve_people
from tests.support.proxies import NAME, Place, found, proxy
from tests.support.tasks import make_task


@pytest.fixture
def chromium_args(chromium_args: list[str]) -> list[str]:
    """Chromium finds the public name on this machine."""
    return [*chromium_args, f"--host-resolver-rules=MAP {NAME} 127.0.0.1"]


@pytest.fixture
def people() -> FakePeopleQueue:
    return FakePeopleQueue([make_task(number) for number in range(4)])


@pytest.fixture
def place(tmp_path: Path) -> Place:
    found("nginx")
    return Place.free(tmp_path)


@pytest.fixture
async def url(people: FakePeopleQueue, place: Place) -> AsyncIterator[str]:
    """The public address."""
    site = Site(run_id="run-1", public_url=place.public_url)
    async with serve_people(people, site=site) as run_url:
        port = httpx.URL(run_url).port
        assert port is not None
        async with proxy("nginx", place, port):
            yield place.public_url


@pytest.fixture
async def elsewhere() -> AsyncIterator[tuple[FastAPI, str]]:
    """Another site altogether, and its address."""
    site = FastAPI()
    async with serve(site) as address:
        yield site, address


async def test_a_label_is_given_and_seen_through_nginx_with_tls(
    people: FakePeopleQueue, enter: Enter, url: str
) -> None:
    olga = await enter("olga", "owner")
    assert olga.page.url == f"{url}/owner"
    await expect(olga.page.locator("#live")).to_have_attribute("data-state", "live")
    ann = await enter()
    assert ann.page.url == f"{url}/"
    [cookie] = await ann.page.context.cookies()
    assert (cookie["name"], cookie["path"]) == ("andon_session_run-1", "/run-a")
    assert (cookie["secure"], cookie["httpOnly"], cookie["sameSite"]) == (True, True, "Lax")
    await ann.give("2", "Enter")
    [answer] = await people.answered(1)
    assert answer.choice == "a0-1"
    await ann.reload()
    await ann.press("p")
    await ann.page.keyboard.type("it repeats itself")
    await ann.press("Control+Enter")
    await expect(olga.page.locator("#cord")).to_contain_text("it repeats itself")
    await ann.page.get_by_role("button", name="Leave").click()
    await expect(ann.page.get_by_role("heading", name="You are not signed in")).to_be_visible()
    assert ann.page.url == f"{url}/"


async def test_an_owner_gives_out_links_to_the_public_address(enter: Enter, url: str) -> None:
    olga = await enter("olga", "owner")
    await olga.page.get_by_role("button", name="Add a labeler").click()
    await olga.page.get_by_label("Name").fill("cleo")
    await olga.page.get_by_role("button", name="Make the link").click()
    link = olga.page.get_by_label("One-time link")
    await expect(link).to_have_value(re.compile(f"^{url}/enter/code-"))


async def test_who_follows_a_link_from_a_mail_is_signed_in(
    enter: Enter, url: str, elsewhere: tuple[FastAPI, str]
) -> None:
    mail, address = elsewhere

    @mail.get("/", response_class=HTMLResponse)
    async def letter() -> str:
        return f'<!doctype html><a href="{url}/">Label on</a>'

    ann = await enter()
    await ann.page.goto(address)
    await ann.page.get_by_role("link", name="Label on").click()
    await ann.settle()
    assert ann.page.url == f"{url}/"


async def test_a_form_of_another_site_is_refused(
    people: FakePeopleQueue, enter: Enter, url: str, elsewhere: tuple[FastAPI, str]
) -> None:
    evil, address = elsewhere

    @evil.get("/", response_class=HTMLResponse)
    async def page() -> str:
        return "<!doctype html><title>evil</title><body>"

    olga = await enter("olga", "owner")
    await olga.page.goto(address)
    async with olga.page.expect_navigation() as navigation:
        await olga.page.evaluate(f"target => {{{FORGED_FORM}}}", url)
    answer = await navigation.value
    assert answer is not None
    assert answer.status == 401  # a cookie that is Lax does not go with it
    assert people.decisions == []
    await olga.page.goto(f"{url}/owner")
    await olga.settle()
