"""How a browser comes in and leaves, and what another site cannot make it do."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import httpx
import pytest
from pydantic import TypeAdapter

from label_queue.intake.identity import CSRF_HEADER, csrf_token
from label_queue.intake.public_address import Site
from label_queue.queue import LabelQueue
from protocol.cord import CordState
from tests.unit.label_queue.intake.client import choice, client_of, take

SESSION_COOKIE = Site().session_cookie
SAME_SITE = {"Origin": "http://127.0.0.1"}


@pytest.fixture
async def browser(queue: LabelQueue) -> AsyncIterator[httpx.AsyncClient]:
    """A browser that came in by ann's link."""
    async with client_of(queue) as client:
        admission = await queue.owner.admit("ann", "labeler")
        await client.post(admission.link, headers=SAME_SITE)
        yield client


def csrf_of(browser: httpx.AsyncClient) -> dict[str, str]:
    return {**SAME_SITE, CSRF_HEADER: csrf_token(browser.cookies[SESSION_COOKIE])}


async def test_a_link_opens_one_session_and_no_second(queue: LabelQueue) -> None:
    link = (await queue.owner.admit("ann", "labeler")).link
    async with client_of(queue) as client:
        first, second = await client.post(link), await client.post(link)
    assert (first.status_code, first.headers["location"]) == (303, "/")
    assert second.status_code == 401
    assert "set-cookie" not in second.headers
    assert "no longer works" in second.text


async def test_looking_at_a_link_does_not_use_it_up(queue: LabelQueue) -> None:
    link = (await queue.owner.admit("ann", "labeler")).link
    async with client_of(queue) as client:
        for _ in range(3):
            assert (await client.get(link)).status_code == 200
        assert (await client.post(link)).status_code == 303


async def test_an_owner_lands_on_the_owners_page(queue: LabelQueue) -> None:
    link = (await queue.owner.admit("olga", "owner")).link
    async with client_of(queue) as client:
        answer = await client.post(link)
        assert answer.headers["location"] == "/owner"
        assert (await client.get("/owner")).status_code == 200
        assert (await client.get("/")).status_code == 200


async def test_an_observer_lands_on_the_owners_page_and_has_no_other(queue: LabelQueue) -> None:
    link = (await queue.owner.admit("ove", "observer")).link
    async with client_of(queue) as client:
        assert (await client.post(link)).headers["location"] == "/owner"
        page = await client.get("/owner")
        assert page.status_code == 200
        assert "as an observer" in page.text
        elsewhere = await client.get("/")
        assert (elsewhere.status_code, elsewhere.headers["location"]) == (303, "/owner")
        body = {"labeler_id": "eve", "role": "owner"}
        act = await client.post("/api/v1/owner/labelers", json=body, headers=csrf_of(client))
        assert act.status_code == 403


@pytest.mark.parametrize(
    "path",
    [
        "labelers/ann/role",
        "labelers/ann/tokens/x/revoke",
        "gold/written",
        "gold/x/edit",
        "gold/x/retire",
        "gold/x/bring_back",
    ],
)
async def test_an_owners_cookie_alone_does_nothing_about_people_and_gold(
    queue: LabelQueue, path: str
) -> None:
    link = (await queue.owner.admit("olga", "owner")).link
    async with client_of(queue) as client:
        await client.post(link, headers=SAME_SITE)
        for headers in ({}, SAME_SITE, {**csrf_of(client), "Origin": "https://evil.example"}):
            answer = await client.post(f"/api/v1/owner/{path}", json={}, headers=headers)
            assert answer.status_code == 403
        answer = await client.post(f"/api/v1/owner/{path}", json={}, headers=csrf_of(client))
        assert answer.status_code == 422


async def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(queue: LabelQueue) -> None:
    link = (await queue.owner.admit("ann", "labeler")).link
    async with client_of(queue) as client:
        cookie = (await client.post(link)).headers["set-cookie"]
    assert cookie.startswith(f"{SESSION_COOKIE}=")
    attributes = {part.strip().lower() for part in cookie.split(";")[1:]}
    assert {"httponly", "samesite=lax", "path=/"} <= attributes


async def test_a_link_posted_from_another_site_is_refused_and_still_good(queue: LabelQueue) -> None:
    link = (await queue.owner.admit("ann", "labeler")).link
    async with client_of(queue) as client:
        answer = await client.post(link, headers={"Origin": "https://evil.example"})
        assert answer.status_code == 403
        assert (await client.post(link)).status_code == 303


async def test_a_session_labels_with_its_csrf_token(browser: httpx.AsyncClient) -> None:
    task = await take(browser)
    answer = await browser.post("/api/v1/labels", json=choice(task), headers=csrf_of(browser))
    assert answer.status_code == 200


async def test_the_page_carries_the_csrf_token_of_its_session(browser: httpx.AsyncClient) -> None:
    page = (await browser.get("/")).text
    [shown] = re.findall(r'name="andon-csrf" content="(\w+)"', page)
    assert shown == csrf_token(browser.cookies[SESSION_COOKIE])
    assert browser.cookies[SESSION_COOKIE] not in page


@pytest.mark.parametrize(
    "change",
    [
        {CSRF_HEADER: None},
        {CSRF_HEADER: "0" * 64},
        {CSRF_HEADER: "ü"},
        {"Origin": None},
        {"Origin": "null"},
        {"Origin": "https://evil.example"},
        {"Origin": "http://127.0.0.1.evil.example"},
        {"Origin": "http://127.0.0.1@evil.example"},
    ],
)
@pytest.mark.parametrize("path", ["/api/v1/cord", "/api/v1/labels", "/leave"])
async def test_forged_requests_are_refused(
    browser: httpx.AsyncClient, queue: LabelQueue, change: dict[str, str | None], path: str
) -> None:
    wanted = csrf_of(browser) | change
    headers = [(k.encode(), v.encode()) for k, v in wanted.items() if v is not None]
    answer = await browser.post(path, json={"reason": "forged"}, headers=headers)
    assert (answer.status_code, answer.json()["error"]) == (403, "Forbidden")
    assert not (await queue.people.me("ann")).cord.is_pulled
    assert (await browser.get("/api/v1/me")).status_code == 200


async def test_a_labeler_pulls_the_cord(browser: httpx.AsyncClient) -> None:
    body = {"reason": "it insults people"}
    answer = await browser.post("/api/v1/cord", json=body, headers=csrf_of(browser))
    cord = TypeAdapter(CordState).validate_json(answer.content)
    assert cord == CordState(is_pulled=True, pulled_by="ann", reason="it insults people")
    later = await browser.post("/api/v1/cord", json={"reason": "me too"}, headers=csrf_of(browser))
    assert later.json()["reason"] == "it insults people"


async def test_leaving_ends_the_session(browser: httpx.AsyncClient) -> None:
    session = browser.cookies[SESSION_COOKIE]
    answer = await browser.post("/leave", headers=csrf_of(browser))
    assert (answer.status_code, SESSION_COOKIE in browser.cookies) == (204, False)
    kept = await browser.get("/api/v1/me", headers={"Cookie": f"{SESSION_COOKIE}={session}"})
    assert kept.status_code == 401


async def test_a_revoked_session_is_refused(browser: httpx.AsyncClient, queue: LabelQueue) -> None:
    await queue.owner.revoke("ann", "left the project")
    assert (await browser.get("/api/v1/me")).status_code == 401
    page = await browser.get("/")
    assert (page.status_code, "not signed in" in page.text) == (401, True)


async def test_a_link_is_no_token_and_no_session(queue: LabelQueue) -> None:
    code = (await queue.owner.admit("ann", "labeler")).link.rsplit("/", 1)[-1]
    async with client_of(queue, code) as client:
        assert (await client.get("/api/v1/me")).status_code == 401
    async with client_of(queue) as client:
        client.cookies.set(SESSION_COOKIE, code)
        assert (await client.get("/api/v1/me")).status_code == 401
