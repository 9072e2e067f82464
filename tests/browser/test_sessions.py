"""Links, cookies, and another site that would like to use them."""

from __future__ import annotations

import asyncio
import time

import pytest
from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from playwright.async_api import expect

from tests.browser.conftest import FORGED_FORM, Enter
from tests.support.fake_people_queue import FakePeopleQueue
from tests.support.page_server import serve

ATTACKS = (
    """async target => {
  const send = (path, init) =>
    fetch(target + path, {credentials: "include", mode: "no-cors", ...init});
  const json = JSON.stringify({reason: "forged"});
  await send("/api/v1/owner/cord/pull", {method: "POST", body: json});
  await send("/api/v1/cord", {method: "POST", body: json});
  await send("/leave", {method: "POST"});
"""
    + FORGED_FORM
    + "}"
)


async def test_a_link_works_once(people: FakePeopleQueue, enter: Enter) -> None:
    ann = await enter()
    link = (await people.owner.admit("bob", "labeler")).link
    await people.open_link(link.rsplit("/", 1)[-1])
    await ann.page.goto(ann.url + link)
    await ann.page.get_by_role("button", name="Come in").click()
    await expect(ann.page.get_by_role("heading")).to_have_text("This link no longer works")


async def test_a_link_that_is_pressed_again_before_its_answer_is_here_lets_in(
    people: FakePeopleQueue, enter: Enter, monkeypatch: pytest.MonkeyPatch
) -> None:
    bob = await enter("bob")
    link = (await people.owner.admit("ann", "labeler")).link
    pressed_again = asyncio.Event()
    open_link = people.open_link
    opened: list[str] = []

    async def open_slowly(code: str) -> str:
        opened.append(code)
        session = await open_link(code)
        await pressed_again.wait()
        return session

    monkeypatch.setattr(people, "open_link", open_slowly)
    await bob.page.goto(bob.url + link)
    button = bob.page.get_by_role("button", name="Come in")
    place = await button.bounding_box()
    assert place is not None
    at = place["x"] + 5, place["y"] + 5
    async with bob.page.expect_request(lambda request: request.method == "POST"):
        await bob.page.mouse.click(*at)
    await bob.page.mouse.click(*at)
    pressed_again.set()
    await bob.settle()
    assert len(opened) == 1
    await expect(bob.page.locator(".who bdi")).to_have_text("ann")


async def test_the_cookie_is_shut_away(enter: Enter) -> None:
    ann = await enter()
    [cookie] = await ann.page.context.cookies()
    assert (cookie["name"], cookie["path"]) == ("andon_session", "/")
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Lax")
    assert cookie["expires"] - time.time() > 3_600  # a closed laptop comes back to it
    assert await ann.page.evaluate("document.cookie") == ""


async def test_another_site_can_do_nothing_with_the_session(
    people: FakePeopleQueue, enter: Enter
) -> None:
    """Another port is another origin, but the same site: the cookie alone would be sent."""
    evil = FastAPI()

    @evil.get("/", response_class=HTMLResponse)
    async def page() -> str:
        return "<!doctype html><title>evil</title><body>"

    olga = await enter("olga", "owner")
    refused: list[int] = []
    olga.page.on(
        "response",
        lambda response: (
            refused.append(response.status) if response.request.method == "POST" else None
        ),
    )
    async with serve(evil) as elsewhere:
        await olga.page.goto(elsewhere)
        async with olga.page.expect_navigation():
            await olga.page.evaluate(ATTACKS, olga.url)
    assert refused == [403, 403, 403, 403]
    assert people.decisions == []
    await olga.page.goto(olga.url + "/owner")
    await olga.settle()


async def test_pages_cannot_be_framed(enter: Enter) -> None:
    evil = FastAPI()
    ann = await enter()

    @evil.get("/", response_class=HTMLResponse)
    async def page() -> str:
        return f'<!doctype html><iframe src="{ann.url}/"></iframe>'

    async with serve(evil) as elsewhere:
        await ann.page.goto(elsewhere)
        frame = ann.page.frames[1]
        assert await frame.locator("#main").count() == 0
    assert ["frame-ancestors" in error for error in ann.errors] == [True]
    ann.errors.clear()
