"""The prompt of a long text's node says where it stands, and what it is made of."""

from __future__ import annotations

from dataclasses import replace

import pytest
from playwright.async_api import expect

from label_queue.folds.shown import ShownPrompt
from protocol.text_tree import TextNode
from tests.browser.conftest import DESKTOP, PHONE, Enter
from tests.browser.test_accessibility import violations
from tests.browser.test_hostile_text import ELEMENTS, MARKUP
from tests.support.fake_people_queue import FakePeopleQueue
from tests.support.labels import NODE
from tests.support.overview import make_disagreement
from tests.support.tasks import make_task

ROOT = TextNode(document_id="books-000017", path=(), siblings=(), height=2, num_children=3)
WIDE = TextNode(document_id="b", path=(40,), siblings=(50,), height=0, num_children=0)


async def test_a_node_is_shown_in_its_tree(people: FakePeopleQueue, enter: Enter) -> None:
    people.waiting = [
        make_task(0, node=NODE),
        make_task(1, node=ROOT),
        make_task(2, node=WIDE),
        make_task(3),
    ]
    ann = await enter()
    outline = ann.page.get_by_role("group", name="Where this stands in its text")
    steps = outline.get_by_role("listitem")
    await expect(steps).to_have_text(["books-000017", "○●part 2 of 2", "●○○part 1 of 3"])
    await expect(outline.locator("[aria-current]")).to_have_text("●○○part 1 of 3")
    await expect(outline.locator("p")).to_have_text("A passage of the text.")
    await expect(ann.page.locator("#prompt > .inert")).to_have_text("the soup was")

    await ann.give("1", "Enter")
    await expect(steps).to_have_text(["books-000017"])
    await expect(outline.locator("p")).to_have_text(
        "The summaries of 3 parts in their order, at level 2 above the passages."
    )
    await ann.give("1", "Enter")
    await expect(steps).to_have_text(["b", "part 40 of 50"])
    await ann.give("1", "Enter")
    await expect(outline).to_have_count(0)


async def test_a_text_s_name_does_nothing_and_hides_nothing(
    people: FakePeopleQueue, enter: Enter
) -> None:
    people.waiting = [make_task(0, node=replace(NODE, document_id=f"{MARKUP}\u202e"))]
    ann = await enter()
    name = ann.page.locator(".node .inert")
    assert await name.inner_text() == f"{MARKUP}⟨U+202E⟩"
    await expect(ann.page.locator(".node").locator(ELEMENTS)).to_have_count(0)
    assert ann.dialogs == []


async def test_the_owner_sees_it_too(people: FakePeopleQueue, enter: Enter) -> None:
    people.show(disagreements=(make_disagreement(prompt=ShownPrompt(text="so", node=NODE)),))
    olga = await enter("olga", "owner")
    steps = olga.page.locator(".disputed-prompt .node li")
    await expect(steps).to_have_text(["books-000017", "○●part 2 of 2", "●○○part 1 of 3"])


@pytest.mark.parametrize(
    ("size", "dark"), [(DESKTOP, False), (PHONE, True)], ids=["light", "phone-dark"]
)
async def test_it_is_accessible(
    people: FakePeopleQueue, enter: Enter, size: tuple[int, int], dark: bool
) -> None:
    people.waiting = [make_task(0, node=NODE)]
    ann = await enter(size=size, dark=dark)
    await expect(ann.page.locator(".node")).to_be_visible()
    assert await violations(ann.page) == []
