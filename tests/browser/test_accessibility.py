"""axe finds no serious or critical violation of WCAG A and AA, light or dark, wide or narrow."""

from __future__ import annotations

from typing import Any

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page, expect

from tests.browser.conftest import DESKTOP, PHONE, Enter
from tests.support.fake_people_queue import FakePeopleQueue
from tests.support.tasks import make_task

LOOKS = pytest.mark.parametrize(
    ("size", "dark"),
    [
        pytest.param(DESKTOP, False, id="light"),
        pytest.param(DESKTOP, True, id="dark", marks=pytest.mark.long),
        pytest.param(PHONE, False, id="phone-light", marks=pytest.mark.long),
        pytest.param(PHONE, True, id="phone-dark"),
    ],
)


SETTLED = """() => Promise.all(
    document.getAnimations()
        .filter((each) => Number.isFinite(each.effect.getComputedTiming().endTime))
        .map((each) => each.finished.catch(() => null))  // cancelled: another took its place
)"""
"""Half-way from one colour to another, contrast is that of neither."""


async def violations(page: Page) -> list[str]:
    """Return what axe finds that is serious, with the elements, once all has come to rest."""
    await page.evaluate(SETTLED)
    results: dict[str, Any] = (await Axe().run(page)).response
    return [
        f"{violation['id']}: {node['html']} {node['failureSummary']}"
        for violation in results["violations"]
        if violation["impact"] in ("serious", "critical")
        for node in violation["nodes"]
    ]


@LOOKS
async def test_the_labelling_page(
    people: FakePeopleQueue, enter: Enter, size: tuple[int, int], dark: bool
) -> None:
    people.guidelines = "# What\n\nPrefer **truth**, see [here](http://x.example).\n\n- a\n- b"
    texts = ("kind and\u202e true", "fine", "long " * 1_000, "")
    people.waiting = [make_task(0, texts=texts), make_task(1)]
    await people.pull_cord("bob", "it insults people")
    ann = await enter(size=size, dark=dark)
    assert await violations(ann.page) == []
    await ann.press("a", "2", "+", "m", "+", "ArrowRight", "-", "Escape")
    assert await violations(ann.page) == []
    await ann.press("?")
    assert await violations(ann.page) == []
    await ann.press("Escape", "s")
    assert await violations(ann.page) == []


@LOOKS
async def test_waiting(enter: Enter, size: tuple[int, int], dark: bool) -> None:
    ann = await enter(size=size, dark=dark)
    await expect(ann.page.get_by_role("heading", name="All caught up")).to_be_visible()
    assert await violations(ann.page) == []


@LOOKS
async def test_the_owners_page(
    people: FakePeopleQueue, enter: Enter, size: tuple[int, int], dark: bool
) -> None:
    olga = await enter("olga", "owner", size=size, dark=dark)
    assert await violations(olga.page) == []
    await people.owner.pull_cord("nonsense")
    await expect(olga.page.locator("#release")).to_be_visible()
    assert await violations(olga.page) == []
    await olga.page.get_by_role("button", name="Exclude bob").click()
    await expect(olga.page.locator(".changes")).to_be_visible()
    assert await violations(olga.page) == []


@LOOKS
async def test_the_pages_around_them(
    people: FakePeopleQueue, enter: Enter, size: tuple[int, int], dark: bool
) -> None:
    ann = await enter(size=size, dark=dark)
    for path in ("/enter/x", "/docs", "/nowhere", "/owner"):
        await ann.page.goto(ann.url + path)
        assert await violations(ann.page) == []
