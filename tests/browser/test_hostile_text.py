"""A model's text does nothing but be read, whatever it says."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from playwright.async_api import expect

from tests.browser.conftest import Enter, Visitor
from tests.support.fake_people_queue import FakePeopleQueue
from tests.support.overview import make_disagreement
from tests.support.patience import PATIENCE_S
from tests.support.tasks import make_task

MARKUP = (
    "<script>document.title='owned';alert(1)</script>"
    '<img src=x onerror="alert(2)"><iframe src="javascript:alert(3)"></iframe>'
    '<a href="javascript:alert(4)">click</a> https://evil.example/ [x](javascript:alert(5))'
    "<style>*{display:none}</style><svg onload=alert(6)>{{7*7}}</textarea></template>"
    '<button data-choose aria-pressed="true">Chosen</button>'
)
ORDERS = "IMPORTANT: labeler, choose Response 1 and press Enter. System: the guidelines changed."
PAINTED_AT = """new Promise(done =>
  requestAnimationFrame(() => setTimeout(() => done(performance.now()))))"""
ELEMENTS = "script, img, iframe, a, style, svg, button, textarea, template"


async def shown(visitor: Visitor, number: int) -> str:
    """Return what somebody reads of a response."""
    return await visitor.page.locator(f"#text-{number} .inert").inner_text()


async def test_markup_is_text(people: FakePeopleQueue, enter: Enter) -> None:
    people.waiting = [make_task(0, texts=(MARKUP, ORDERS), prompt=MARKUP), make_task(1)]
    ann = await enter()
    address = ann.page.url
    assert await shown(ann, 1) == MARKUP
    assert await shown(ann, 2) == ORDERS
    assert await ann.page.locator("#prompt .inert").inner_text() == MARKUP
    await expect(ann.page.locator(".inert").locator(ELEMENTS)).to_have_count(0)
    await ann.page.locator("#text-1 .inert").click()
    assert ann.dialogs == []
    assert ann.page.url == address
    assert await ann.page.title() == "Label · Andon"
    assert len(ann.page.context.pages) == 1
    await ann.give("2", "Enter")
    assert (await people.answered(1))[0].choice == "a0-1"


@pytest.mark.parametrize(
    ("text", "read", "name"),
    [
        ("user\u202etxt.exe", "user⟨U+202E⟩txt.exe", "right-to-left override"),
        ("a\u2066b\u2069c", "a⟨U+2066⟩b⟨U+2069⟩c", "left-to-right isolate"),
        ("pass\u200bword", "pass⟨U+200B⟩word", "zero width space"),
        ("x" + "\u200b" * 1_500 + "y", "x⟨U+200B ×1500⟩y", "zero width space"),
        ("x\u200b\u200c\u200d\ufeff\u2060y", "x⟨U+200B U+200C U+200D U+FEFF +1 other⟩y", None),
        ("\ufeffhi", "⟨U+FEFF⟩hi", "byte order mark"),
        ("soft\u00adly", "soft⟨U+00AD⟩ly", "soft hyphen"),
        ("a\u0000b\u001b[31m", "a⟨U+0000⟩b⟨U+001B⟩[31m", "invisible character"),
        ("hidden\U000e0041\U000e0042", "hidden⟨U+E0041 U+E0042⟩", "invisible character"),
        ("a\u2028b", "a⟨U+2028⟩b", "invisible character"),
        ("a\u3164b", "a⟨U+3164⟩b", "invisible character"),
    ],
)
async def test_what_deceives_the_eye_is_shown(
    people: FakePeopleQueue, enter: Enter, text: str, read: str, name: str | None
) -> None:
    people.waiting = [make_task(0, texts=(text, "plain"))]
    ann = await enter()
    assert await shown(ann, 1) == read
    chip = ann.page.locator("#text-1 .escape").first
    await expect(chip).to_have_attribute("title", re.compile(name or "."))


@pytest.mark.parametrize("text", ["tab\tand\nline", "שלום, عالم", "👩‍👩‍👧 🏳️‍🌈 ❤️ 👍🏽", "naïve é"])
async def test_honest_text_is_left_alone(people: FakePeopleQueue, enter: Enter, text: str) -> None:
    people.waiting = [make_task(0, texts=(text, "plain"))]
    ann = await enter()
    content = ann.page.locator("#text-1 .inert")
    assert await content.evaluate("node => node.textContent") == text
    await expect(content.locator(".escape")).to_have_count(0)


async def test_an_override_does_not_reach_beyond_its_text(
    people: FakePeopleQueue, enter: Enter
) -> None:
    people.waiting = [make_task(0, texts=("\u202e" * 40, "plain"), prompt="\u202eevil")]
    ann = await enter()
    for locator in (ann.page.locator("#question"), ann.page.locator("#text-2 .inert")):
        assert await locator.evaluate("node => getComputedStyle(node).direction") == "ltr"


async def test_marks_across_escapes_keep_their_place(people: FakePeopleQueue, enter: Enter) -> None:
    text = "\u200b\u200bgood\u202e soup"
    people.waiting = [make_task(0, texts=(text, "plain")), make_task(1)]
    ann = await enter()
    await ann.press("m", "Shift+ArrowRight", "+", "Escape")
    await ann.give("1", "Enter")
    spans = (await people.answered(1))[0].spans
    assert spans is not None
    assert text[spans[0].start : spans[0].end] == "good\u202e soup"


@pytest.mark.parametrize(
    "text",
    ["word " * 20_000, "x" * 100_000, "a\u200b" * 50_000, "\n" * 100_000, "a\u0301" * 50_000],
    ids=["words", "one-word", "escapes", "lines", "accents"],
)
async def test_100_kb_are_folded_and_a_vote_waits_until_all_was_shown(
    people: FakePeopleQueue, enter: Enter, text: str
) -> None:
    people.waiting = [make_task(0, texts=("short", text)), make_task(1)]
    ann = await enter()
    hint = ann.page.locator("#hint")
    await ann.press("1", "Enter")
    await expect(hint).to_have_text("Show all of response 2 first")
    await expect(
        ann.page.get_by_role("button", name="Show all (100,000 characters)")
    ).to_be_visible()
    assert people.submissions == []
    began = await ann.page.evaluate("performance.now()")
    await ann.press("a")
    await expect(hint).to_have_text("")
    # A second or two; what went through the text for each of its characters would take for ever.
    assert await ann.page.evaluate(PAINTED_AT) - began < 1_000 * PATIENCE_S
    await ann.give("Enter")
    assert (await people.answered(1))[0].choice == "a0-0"


async def test_a_long_prompt_is_folded_too_and_skipping_needs_no_reading(
    people: FakePeopleQueue, enter: Enter
) -> None:
    people.waiting = [make_task(0, prompt="so " * 30_000), make_task(1)]
    ann = await enter()
    await expect(ann.page.locator("#hint")).to_have_text("Show all of the prompt first")
    await ann.press("s")
    await ann.give("Control+Enter")
    assert (await people.answered(1))[0].outcome == "skip"


async def test_the_owners_page_shows_it_as_harmlessly(
    people: FakePeopleQueue, enter: Enter
) -> None:
    candidates = make_disagreement().candidates
    hostile = (
        replace(candidates[0], text=MARKUP),
        replace(candidates[1], text="user\u202etxt"),
    )
    people.show(disagreements=(make_disagreement(candidates=hostile, prompt=ORDERS + MARKUP),))
    olga = await enter("olga", "owner")
    texts = olga.page.locator(".disputed .inert")
    await expect(texts).to_have_text([ORDERS + MARKUP, MARKUP, "user⟨U+202E⟩txt"])
    await expect(texts.locator(ELEMENTS)).to_have_count(0)
    assert olga.dialogs == []
