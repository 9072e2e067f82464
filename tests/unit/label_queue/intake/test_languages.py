"""In which language somebody is answered, and how they choose another."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from pydantic import ValidationError

from label_queue.config import IntakeConfig
from label_queue.intake.app import build_app
from label_queue.intake.languages import ENGLISH, Language
from label_queue.intake.public_address import Site
from tests.support.fake_people_queue import FakePeopleQueue

GERMAN = '<html lang="de" dir="ltr">'
ARABIC = '<html lang="ar" dir="rtl">'
IN_ENGLISH = '<html lang="en" dir="ltr">'


def client_in(
    people: FakePeopleQueue, *, language: str = ENGLISH, prompt_language: str = ""
) -> httpx.AsyncClient:
    app = build_app(people, IntakeConfig(language=language), prompt_language=prompt_language)
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app),
        base_url="http://127.0.0.1",
        headers={"Accept": "text/html"},
    )


@pytest.fixture
async def client(people: FakePeopleQueue) -> AsyncIterator[httpx.AsyncClient]:
    async with client_in(people) as client:
        yield client


async def start_of(client: httpx.AsyncClient, asked: str, path: str = "/") -> str:
    """Return how a page begins for a browser that asks for languages."""
    page = await client.get(path, headers=[(b"accept-language", asked.encode("latin-1"))])
    return page.text.split("\n")[1]


@pytest.mark.parametrize(
    ("asked", "start"),
    [
        ("de", GERMAN),
        ("de-AT,en;q=0.9", GERMAN),
        ("fr-FR,fr;q=0.9,ar-EG;q=0.8,de;q=0.7", ARABIC),
        ("en;q=0.5, ar", ARABIC),
        ("de;q=0,ar;q=0.1", ARABIC),
        ("DE-ch-1996", GERMAN),
        ("dea", IN_ENGLISH),
        ("fr, ja", IN_ENGLISH),
        ("*", IN_ENGLISH),
        ("", IN_ENGLISH),
        (";q=, de;q=much, x y, ,,de_DE;;, \u00e4", IN_ENGLISH),
    ],
)
async def test_a_browser_is_answered_in_the_language_it_asks_for(
    client: httpx.AsyncClient, asked: str, start: str
) -> None:
    assert await start_of(client, asked) == start


async def test_who_asks_for_no_language_that_there_is_gets_the_configs(
    people: FakePeopleQueue,
) -> None:
    async with client_in(people, language="ar") as client:
        assert await start_of(client, "fr") == ARABIC
        assert await start_of(client, "fr, en;q=0.1") == IN_ENGLISH


@pytest.mark.parametrize("tag", ["xx", "de-AT", "", "DE"])
def test_a_language_without_words_is_refused(tag: str) -> None:
    with pytest.raises(ValidationError, match=r"language\n.*not in '.*': choose one of ar, de, en"):
        IntakeConfig(language=tag)


async def test_a_choice_is_remembered_and_goes_before_what_the_browser_asks_for(
    client: httpx.AsyncClient,
) -> None:
    assert await start_of(client, "ar", "/?language=de") == GERMAN
    assert await start_of(client, "ar") == GERMAN
    assert await start_of(client, "ar", "/?language=tlh") == GERMAN
    assert await start_of(client, "de", "/?language=ar") == ARABIC
    assert dict(client.cookies) == {"andon_language": "ar"}


@pytest.mark.parametrize("kept", ["tlh", "DE", "", '"'])
async def test_a_kept_choice_that_is_no_language_here_hides_none_that_the_browser_asks_for(
    client: httpx.AsyncClient, kept: str
) -> None:
    client.cookies.set("andon_language", kept)
    assert await start_of(client, "ar") == ARABIC
    assert await start_of(client, "") == IN_ENGLISH


async def test_a_choice_is_kept_as_the_session_is(people: FakePeopleQueue) -> None:
    site = Site(public_url="https://label.example.org/run-a")
    transport = httpx.ASGITransport(build_app(people, IntakeConfig(), site=site))
    async with httpx.AsyncClient(transport=transport, base_url=site.public_url or "") as client:
        kept = (await client.get("?language=de")).headers["set-cookie"]
    assert {part.strip() for part in kept.split(";")} >= {
        "andon_language=de",
        "Path=/run-a",
        "Secure",
        "HttpOnly",
        "SameSite=lax",
    }


async def test_every_page_offers_every_language(
    people: FakePeopleQueue, client: httpx.AsyncClient
) -> None:
    link = (await people.owner.admit("ann", "labeler")).link
    pages = [(await client.get(path)).text for path in (link, "/", "/nowhere")]
    await client.post(link)
    for page in [*pages, (await client.get("/")).text]:
        assert page.count('href="?language=') == 3
        assert '<a href="?language=ar" lang="ar"' in page
        assert "العربية" in page


async def test_the_owners_page_is_in_english(people: FakePeopleQueue) -> None:
    async with client_in(people) as client:
        await client.post((await people.owner.admit("olga", "owner")).link)
        assert await start_of(client, "de", "/owner") == IN_ENGLISH
        assert await start_of(client, "de", "/docs") == IN_ENGLISH
        assert await start_of(client, "de") == GERMAN


async def test_a_refusal_says_what_it_means_in_the_persons_language(
    people: FakePeopleQueue, client: httpx.AsyncClient
) -> None:
    headers = {"Accept-Language": "de"}
    nowhere = await client.get("/nowhere", headers=headers)
    assert "Diese Seite gibt es nicht" in nowhere.text
    assert 'lang="en" dir="ltr"' not in nowhere.text  # the API's words say no more
    forged = await client.post(
        (await people.owner.admit("ann", "labeler")).link,
        headers={**headers, "Origin": "http://evil.example"},
    )
    assert "Das wurde abgelehnt" in forged.text
    assert '<p class="small" lang="en" dir="ltr">requests from other sites' in forged.text


async def test_the_page_knows_the_language_of_the_prompts(people: FakePeopleQueue) -> None:
    async with client_in(people, prompt_language="pt-BR") as client:
        await client.post((await people.owner.admit("olga", "owner")).link)
        for path in ("/", "/owner"):
            page = (await client.get(path)).text
            assert '<meta name="andon-prompt-language" content="pt-BR">' in page


def test_what_is_filled_in_is_text_and_keys_are_keys() -> None:
    language = Language(
        tag="de",
        words={"key.enter": "Eingabe", "x": "<b> {who} [enter] [A]", "plural": {"other": "many"}},
    )
    assert language.say("x", who="<i>") == ("&lt;b&gt; &lt;i&gt; <kbd>Eingabe</kbd> <kbd>A</kbd>")
    with pytest.raises(TypeError, match="plural forms"):
        language.say("plural")
