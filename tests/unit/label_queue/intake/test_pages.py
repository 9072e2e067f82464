"""What every page carries, what is served beside them, and how browsers are told no."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import httpx
import pytest

from label_queue.intake.assets import load_assets
from label_queue.intake.guidelines import render_guidelines
from label_queue.intake.rendering import PAGES
from tests.support.fake_people_queue import FakePeopleQueue
from tests.unit.label_queue.intake.client import client_of

BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


@pytest.fixture
async def olga(people: FakePeopleQueue) -> AsyncIterator[httpx.AsyncClient]:
    """The owner's browser."""
    async with client_of(people) as client:
        client.headers.update(BROWSER)
        await client.post((await people.owner.admit("olga", "owner")).link)
        yield client


def directives(answer: httpx.Response) -> dict[str, str]:
    policy = answer.headers["content-security-policy"]
    return dict(part.split(" ", 1) for part in policy.split("; "))


@pytest.mark.parametrize("path", ["/", "/owner", "/enter/x", "/docs", "/nowhere"])
async def test_every_page_is_locked_down(olga: httpx.AsyncClient, path: str) -> None:
    answer = await olga.get(path)
    policy = directives(answer)
    nonce = re.search(r"'nonce-([\w-]{20,})'", policy["script-src"])
    assert nonce is not None
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert policy["style-src"] == policy["connect-src"] == policy["form-action"] == "'self'"
    assert policy["require-trusted-types-for"] == "'script'"
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["referrer-policy"] in ("no-referrer", "same-origin")
    for script in re.findall(r"<script[^>]*>", answer.text):
        assert f'nonce="{nonce[1]}"' in script
        assert 'src="/static/' in script


async def test_a_nonce_is_used_once(olga: httpx.AsyncClient) -> None:
    policies = {(await olga.get("/")).headers["content-security-policy"] for _ in range(3)}
    assert len(policies) == 3


@pytest.mark.parametrize("path", ["/", "/owner", "/enter/x", "/docs"])
async def test_pages_name_nothing_remote(olga: httpx.AsyncClient, path: str) -> None:
    page = (await olga.get(path)).text
    addresses = re.findall(r'(?:src|href|action)="([^"]*)"', page)
    assert addresses
    assert all(address.startswith(("/", "#", "?")) for address in addresses)
    assert "style=" not in page


def test_assets_name_nothing_remote() -> None:
    for name, asset in load_assets().items():
        text = asset.content.decode()
        addresses = set(re.findall(r"https?://[^\s\"')]+", text))
        assert addresses <= {"http://www.w3.org/2000/svg"}, name
        assert "@import" not in text
        assert "innerHTML" not in text
        assert "eval(" not in text


async def test_names_are_escaped(people: FakePeopleQueue) -> None:
    people.show(run_id='<img src=x onerror="alert(1)">')
    async with client_of(people) as client:
        await client.post((await people.owner.admit('"><script>', "labeler")).link)
        page = (await client.get("/")).text
    assert "<img src=x" not in page
    assert "<script>" not in page
    assert "&lt;img src=x" in page


async def test_without_a_session_a_page_says_so(people: FakePeopleQueue) -> None:
    async with client_of(people) as client:
        for path in ("/", "/owner"):
            answer = await client.get(path)
            assert (answer.status_code, "You are not signed in" in answer.text) == (401, True)


async def test_the_owners_page_is_the_owners(people: FakePeopleQueue) -> None:
    async with client_of(people) as client:
        await client.post((await people.owner.admit("ann", "labeler")).link)
        answer = await client.get("/owner")
        assert (answer.status_code, "owner" in answer.text) == (403, True)
        assert "/owner" not in (await client.get("/")).text


@pytest.mark.parametrize(("method", "status"), [("GET", 404), ("DELETE", 405)])
async def test_a_wrong_route_is_a_page_for_browsers_and_json_for_clients(
    olga: httpx.AsyncClient, method: str, status: int
) -> None:
    path = "/nowhere" if status == 404 else "/owner"
    page = await olga.request(method, path)
    assert (page.status_code, page.headers["content-type"]) == (status, "text/html; charset=utf-8")
    for url, accept in ((path, "application/json"), (f"/api/v1{path}x", BROWSER["Accept"])):
        answer = await olga.request(method, url, headers={"Accept": accept})
        assert answer.headers["content-type"] == "application/json"
        assert answer.json()["message"]


async def test_the_api_is_listed_without_remote_scripts(olga: httpx.AsyncClient) -> None:
    page = await olga.get("/docs")
    assert "POST /api/v1/owner/labelers/{labeler_id}/exclude" in page.text
    assert "LabelSubmission" in page.text
    assert "<script" not in page.text
    assert (await olga.get("/redoc")).status_code == 404


# --- assets ------------------------------------------------------------------------------------


async def test_assets_have_their_types_and_are_checked_for_change(olga: httpx.AsyncClient) -> None:
    types = {
        "label/main.js": "text/javascript; charset=utf-8",
        "shared/style.css": "text/css; charset=utf-8",
        "icon.svg": "image/svg+xml",
    }
    for name, content_type in types.items():
        answer = await olga.get(f"/static/{name}")
        assert answer.content == (PAGES / "static" / name).read_bytes()
        assert answer.headers["content-type"] == content_type
        assert answer.headers["cache-control"] == "no-cache"
        again = await olga.get(
            f"/static/{name}", headers={"If-None-Match": f'"other", W/{answer.headers["etag"]}'}
        )
        assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(
    "name",
    [
        "../label.html",
        "..%2flabel.html",
        "%2e%2e/base.html",
        "....//base.html",
        "/etc/passwd",
        "label/../../base.html",
        "label",
        "",
        "label/main.js%00.css",
    ],
)
async def test_nothing_but_assets_is_served(olga: httpx.AsyncClient, name: str) -> None:
    answer = await olga.get(f"/static/{name}", headers={"Accept": "*/*"})
    assert answer.status_code == 404


# --- guidelines --------------------------------------------------------------------------------


def test_guidelines_are_markdown_below_the_pages_own_headings() -> None:
    markup = render_guidelines("# What\n\nBe **kind**.\n\n#### Deep")
    assert markup == "<h3>What</h3>\n<p>Be <strong>kind</strong>.</p>\n<h6>Deep</h6>\n"


@pytest.mark.parametrize(
    ("markdown", "markup"),
    [
        ("<script>alert(1)</script>", "<p>&lt;script&gt;alert(1)&lt;/script&gt;</p>\n"),
        (
            "[here](http://x.example/?a=1&b)",
            '<p><span class="address">here</span> (http://x.example/?a=1&amp;b)</p>\n',
        ),
        (
            "<http://x.example>",
            '<p><span class="address">http://x.example</span> (http://x.example)</p>\n',
        ),
        ("[x](javascript:alert(1))", "<p>[x](javascript:alert(1))</p>\n"),
    ],
)
def test_guidelines_hold_no_markup_and_no_link(markdown: str, markup: str) -> None:
    assert render_guidelines(markdown) == markup


def test_guidelines_show_no_image() -> None:
    assert "<img" not in render_guidelines("![x](http://x.example/a.png)")


async def test_the_page_shows_the_guidelines(people: FakePeopleQueue) -> None:
    people.guidelines = "Prefer what is *true*."
    async with client_of(people) as client:
        await client.post((await people.owner.admit("ann", "labeler")).link)
        assert "Prefer what is <em>true</em>." in (await client.get("/")).text


@pytest.mark.parametrize("path", ["/", "/owner", "/enter/x", "/docs", "/static/icon.svg"])
async def test_a_page_that_is_only_looked_for_is_there(olga: httpx.AsyncClient, path: str) -> None:
    looked, got = await olga.head(path), await olga.get(path)
    assert looked.status_code == got.status_code == 200
    assert looked.headers["content-type"] == got.headers["content-type"]


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/enter/x", "GET, HEAD, POST"),
        ("/", "GET, HEAD"),
        ("/api/v1/owner/labelers", "GET, POST"),
        ("/api/v1/owner/gold", "GET, POST"),
        ("/api/v1/run", "GET"),
    ],
)
async def test_what_a_path_takes_is_said_of_all_its_routes(
    olga: httpx.AsyncClient, path: str, allowed: str
) -> None:
    answer = await olga.put(path)
    assert (answer.status_code, answer.headers["allow"]) == (405, allowed)
