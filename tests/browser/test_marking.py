"""Marking words by touch, taking marks back, and a page that offers none."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from label_queue.config import IntakeConfig
from label_queue.intake.rendering import PAGES
from tests.browser.conftest import PHONE, Enter, Visitor
from tests.support.fake_people_queue import FakePeopleQueue
from tests.support.page_server import serve_people
from tests.support.tasks import make_task

LANGUAGES = Path(PAGES) / "static" / "languages"
TEXTS = ("the good soup was cold", "no")

WHERE = """
  ([number, word]) => {
    const node = document.querySelector(`#text-${number} .inert`).firstChild;
    const range = document.createRange();
    const start = node.data.indexOf(word);
    range.setStart(node, start);
    range.setEnd(node, start + word.length);
    const box = range.getBoundingClientRect();
    return [box.left + box.width / 2, box.top + box.height / 2];
  }
"""
"""Returns the middle of a word of a response."""


async def tap(page: Page, number: int, word: str) -> None:
    x, y = await page.evaluate(WHERE, [number, word])
    await page.touchscreen.tap(x, y)


@pytest.mark.parametrize("locale", ["en", "de", "ar"])
async def test_words_are_marked_by_taps_in_every_language(
    people: FakePeopleQueue, enter: Enter, locale: str
) -> None:
    words = json.loads((LANGUAGES / f"{locale}.json").read_text())
    people.waiting = [make_task(0, texts=TEXTS), make_task(1)]
    ann = await enter(has_touch=True, size=PHONE, locale=locale)
    tools = ann.page.get_by_role("toolbar", name=words["marks.toolbar"])
    await tap(ann.page, 1, "soup")
    await expect(tools).to_be_hidden()
    chosen = ann.page.locator("[data-choose][aria-pressed=true]")
    await expect(chosen).to_have_count(1)  # a tap on a card chooses it, until marking begins
    await ann.press("Backspace")
    await ann.page.locator("#mark").tap()
    await expect(ann.page.locator("#mark")).to_have_attribute("aria-pressed", "true")
    for word, mark in (("good", "good"), ("cold", "bad")):
        await tap(ann.page, 1, word)
        await expect(ann.page.locator("#announcer")).to_have_text(word)
        await tools.get_by_role("button", name=words[f"marks.{mark}"]).tap()
        await expect(tools).to_be_hidden()
    await expect(chosen).to_have_count(0)
    marks = ann.page.get_by_role("list", name=words["marks.list"].replace("{number}", "1"))
    await expect(marks.get_by_role("listitem")).to_have_count(2)
    await ann.page.locator("#mark").tap()
    await ann.page.locator("[data-choose]").first.tap()
    showing = await ann.page.locator("#task").get_attribute("data-showing") or "-"
    await ann.page.locator("#confirm").tap()
    await expect(ann.page.locator("#task")).not_to_have_attribute("data-showing", showing)
    spans = (await people.answered(1))[0].spans
    assert spans is not None
    assert [(TEXTS[0][s.start : s.end], s.mark) for s in spans] == [
        ("good", "good"),
        ("cold", "bad"),
    ]


async def test_the_buttons_a_tap_has_brought_are_there_for_the_keyboard(
    people: FakePeopleQueue, enter: Enter
) -> None:
    people.waiting = [make_task(0, texts=TEXTS)]
    ann = await enter(has_touch=True, size=PHONE)
    await ann.page.locator("#mark").tap()
    await tap(ann.page, 1, "good")
    tools = ann.page.get_by_role("toolbar")
    await ann.press("Shift")  # as on the way to a button by Tab
    await tools.get_by_role("button").first.focus()
    await ann.press("Enter")
    marks = ann.page.get_by_role("list", name="Marks in response 1").get_by_role("listitem")
    await expect(marks).to_have_text(["GoodgoodRemove the mark on good"])


async def test_a_mark_is_taken_back_by_its_button_and_survives_a_change_of_the_answer(
    people: FakePeopleQueue, enter: Enter
) -> None:
    people.waiting = [make_task(0, texts=TEXTS), make_task(1)]
    ann = await enter()
    await ann.press("m", "ArrowRight", "+", "ArrowRight", "-", "Escape")
    marks = ann.page.get_by_role("list", name="Marks in response 1").get_by_role("listitem")
    await expect(marks).to_have_count(2)
    await ann.page.get_by_role("button", name="Remove the mark on soup").click()
    await expect(marks).to_have_text(["GoodgoodRemove the mark on good"])
    await ann.give("1", "Enter")
    await ann.give("u")
    await expect(marks).to_have_count(1)
    await ann.give("2", "Enter")
    first, changed = await people.answered(2)
    assert first.spans == changed.spans
    assert (first.choice, changed.choice) == ("a0-0", "a0-1")


async def test_a_page_that_is_to_offer_no_marks_offers_none(
    people: FakePeopleQueue, open_window: Callable[..., Awaitable[Visitor]]
) -> None:
    people.waiting = [make_task(0, texts=TEXTS), make_task(1)]
    async with serve_people(people, IntakeConfig(marks=False)) as url:
        ann = await open_window(url)
        await ann.page.goto(url + (await people.owner.admit("ann", "labeler")).link)
        await ann.page.get_by_role("button").click()
        await ann.settle()
        await expect(ann.page.get_by_role("button", name="Mark words")).to_have_count(0)
        await ann.press("m", "ArrowRight", "+")
        await ann.page.locator("#text-1 .inert").dblclick()
        await expect(ann.page.get_by_role("toolbar")).to_have_count(0)
        await ann.press("+")
        await ann.give("1", "Enter")
        assert (await people.answered(1))[0].spans is None
        assert ann.errors == []
