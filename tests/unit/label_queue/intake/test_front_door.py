"""The face as it is seen at its public address, and by whom it is not seen at all."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import httpx
import pytest

from label_queue.intake.app import build_app
from label_queue.intake.identity import CSRF_HEADER, csrf_token
from label_queue.intake.public_address import Site
from tests.support.fake_people_queue import FakePeopleQueue
from tests.unit.label_queue.intake.client import LIMITS

ORIGIN = "https://label.example.org"
PREFIX = "/run-a"
SITE = Site(run_id="run-a", public_url=ORIGIN + PREFIX)


def client_at(people: FakePeopleQueue, url: str, site: Site = SITE) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(build_app(people, LIMITS, site=site)), base_url=url
    )


@pytest.fixture
async def public(people: FakePeopleQueue) -> AsyncIterator[httpx.AsyncClient]:
    """A browser at the public address, behind which the proxy passes on whole paths."""
    async with client_at(people, ORIGIN) as client:
        yield client


async def come_in(
    client: httpx.AsyncClient, people: FakePeopleQueue, prefix: str = PREFIX
) -> httpx.Response:
    link = (await people.owner.admit("olga", "owner")).link
    return await client.post(prefix + link, headers={"Origin": ORIGIN})


async def test_the_pages_stand_below_the_prefix(
    public: httpx.AsyncClient, people: FakePeopleQueue
) -> None:
    entered = await come_in(public, people)
    assert (entered.status_code, entered.headers["location"]) == (303, "/run-a/owner")
    for path in ("/run-a", "/run-a/", "/run-a/owner"):
        page = await public.get(path)
        assert page.status_code == 200
        addresses = re.findall(r'(?:href|src)="(/[^"]*)"', page.text)
        assert addresses
        assert all(address.startswith("/run-a/") for address in addresses)
        for address in addresses:
            assert (await public.get(address)).status_code == 200
        assert '<meta name="andon-root" content="/run-a">' in page.text
    assert f'<meta name="andon-links-at" content="{ORIGIN}/run-a">' in page.text


async def test_the_cookie_is_the_runs_own_and_goes_by_tls_alone(
    public: httpx.AsyncClient, people: FakePeopleQueue
) -> None:
    cookie = (await come_in(public, people)).headers["set-cookie"]
    assert cookie.startswith("andon_session_run-a=")
    attributes = {part.strip().lower() for part in cookie.split(";")[1:]}
    assert {"secure", "httponly", "samesite=lax", "path=/run-a"} <= attributes
    csrf = csrf_token(public.cookies[SITE.session_cookie])
    left = await public.post("/run-a/leave", headers={"Origin": ORIGIN, CSRF_HEADER: csrf})
    assert left.status_code == 204
    assert not public.cookies


async def test_at_loopback_the_cookie_goes_without_tls(people: FakePeopleQueue) -> None:
    link = (await people.owner.admit("ann", "labeler")).link
    async with client_at(people, "http://127.0.0.1:8000") as client:
        entered = await client.post(link, headers={"Origin": "http://127.0.0.1:8000"})
        cookie = entered.headers["set-cookie"].lower()
        assert "secure" not in cookie
        assert "path=/;" in f"{cookie};"
        assert (await client.get("/")).status_code == 200


async def test_an_owner_at_loopback_gives_public_links_to_others(people: FakePeopleQueue) -> None:
    link = (await people.owner.admit("olga", "owner")).link
    async with client_at(people, "http://127.0.0.1:8000") as client:
        await client.post(link)
        page = (await client.get("/owner")).text
    assert f'<meta name="andon-links-at" content="{ORIGIN}/run-a">' in page
    assert '<meta name="andon-root" content="">' in page


async def test_two_runs_at_one_host_do_not_sign_each_other_out(people: FakePeopleQueue) -> None:
    other = FakePeopleQueue()
    here = "http://127.0.0.1:8000"
    async with client_at(people, here, Site(run_id="a")) as one:
        await one.post((await people.owner.admit("ann", "labeler")).link)
        async with client_at(other, here, Site(run_id="b")) as two:
            two.cookies = one.cookies
            await two.post((await other.owner.admit("ann", "labeler")).link)
            assert set(two.cookies) == {"andon_session_a", "andon_session_b"}
            for client in (one, two):
                client.cookies = two.cookies
                assert (await client.get("/")).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        *("/docs", "/docs/", "/openapi.json", "/reward", "/reward/get_reward", "/reward/docs"),
        *("/-/routes", "/-/healthz"),
    ],
)
async def test_what_is_not_published_is_not_there(
    public: httpx.AsyncClient, people: FakePeopleQueue, path: str
) -> None:
    await come_in(public, people)
    token = (await people.owner.admit("ove", "owner")).token
    for headers in ({}, {"Authorization": f"Bearer {token}"}):
        assert (await public.get(PREFIX + path, headers=headers)).status_code == 404
        assert (await public.get(path, headers=headers)).status_code == 404
    root = Site(public_url=ORIGIN)
    async with client_at(people, ORIGIN, root) as client:
        assert (await client.get(path)).status_code == 404


@pytest.mark.parametrize("path", ["/", "/enter/code-1", "/api/v1/run", "/run-ab/", "/run-a/../"])
async def test_outside_of_the_prefix_is_nothing(public: httpx.AsyncClient, path: str) -> None:
    answer = await public.get(path, headers={"Accept": "text/html"})
    assert answer.status_code == 404
    assert 'href="/run-a/static/' in answer.text


@pytest.mark.parametrize("path", ["/docs", "/openapi.json"])
async def test_the_apis_pages_are_there_at_loopback(people: FakePeopleQueue, path: str) -> None:
    async with client_at(people, "http://127.0.0.1:8000") as client:
        assert (await client.get(path)).status_code == 200


@pytest.mark.parametrize("path", ["/", "/api/v1/run", "/static/icon.svg", "/docs", "/hooks/x"])
async def test_a_wrong_host_is_refused_and_told_where_to_go(
    people: FakePeopleQueue, path: str
) -> None:
    async with client_at(people, "http://rebound.evil.example:8000") as client:
        answer = await client.get(path)
        assert (answer.status_code, answer.json()["error"]) == (421, "Misdirected")
        assert answer.json()["message"].endswith(f"go to {ORIGIN}/run-a")
        page = await client.get("/", headers={"Accept": "text/html"})
    assert (page.status_code, "somewhere else" in page.text) == (421, True)


@pytest.mark.parametrize(
    "origin",
    ["http://label.example.org", "https://evil.example", "http://127.0.0.1:8000", "null", None],
)
async def test_a_post_of_another_origin_is_refused_at_the_public_address(
    public: httpx.AsyncClient, people: FakePeopleQueue, origin: str | None
) -> None:
    await come_in(public, people)
    csrf = csrf_token(public.cookies[SITE.session_cookie])
    headers = {CSRF_HEADER: csrf} | ({} if origin is None else {"Origin": origin})
    body = {"reason": "forged"}
    forged = await public.post("/run-a/api/v1/cord", json=body, headers=headers)
    assert (forged.status_code, forged.json()["error"]) == (403, "Forbidden")
    assert people.decisions == []
    own = {CSRF_HEADER: csrf, "Origin": ORIGIN}
    assert (await public.post("/run-a/api/v1/cord", json=body, headers=own)).status_code == 200


@pytest.mark.parametrize("said", ["cross-site", "same-site"])
async def test_a_link_from_elsewhere_opens_pages_and_not_the_api(
    public: httpx.AsyncClient, people: FakePeopleQueue, said: str
) -> None:
    await come_in(public, people)
    headers = {"Sec-Fetch-Site": said}
    assert (await public.get("/run-a/", headers=headers)).status_code == 200
    taken = await public.get("/run-a/api/v1/tasks/next", headers=headers)
    assert (taken.status_code, taken.json()["error"]) == (403, "Forbidden")
    for own in ("same-origin", "none"):
        answer = await public.get("/run-a/api/v1/me", headers={"Sec-Fetch-Site": own})
        assert answer.status_code == 200


async def test_the_page_says_how_long_one_stays_signed_in(people: FakePeopleQueue) -> None:
    link = (await people.owner.admit("ann", "labeler")).link
    async with client_at(people, "http://127.0.0.1:8000") as client:
        page = (await client.get(link)).text
        cookie = (await client.post(link)).headers["set-cookie"]
    assert 'data-at-most-s="2592000.0" data-unused-s="604800.0"' in page
    assert f"Max-Age={30 * 24 * 3600}" in cookie


@pytest.mark.parametrize("path", ["/api/v1/me", "/api/v1/tasks/next", "/api/v1/run", "/nowhere"])
async def test_what_the_api_answers_is_kept_by_nobody(people: FakePeopleQueue, path: str) -> None:
    token = await people.owner.add_labeler("ann")
    async with client_at(people, ORIGIN) as client:
        answer = await client.get(PREFIX + path, headers={"Authorization": f"Bearer {token}"})
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
