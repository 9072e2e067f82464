"""Marking words where single keys are switched off, where there are no spaces, and the focus."""

from __future__ import annotations

from playwright.async_api import Locator, Page, expect

from tests.browser.conftest import PHONE, Enter, Visitor
from tests.support.fake_people_queue import FakePeopleQueue
from tests.support.tasks import make_task

TEXTS = ("the good soup was cold", "no")

CHARACTER = """
  ([number, at, share]) => {
    const node = document.querySelector(`#text-${number} .inert`).firstChild;
    const range = document.createRange();
    range.setStart(node, at);
    range.setEnd(node, at + (node.data.codePointAt(at) > 0xffff ? 2 : 1));
    const box = range.getBoundingClientRect();
    return [box.left + share * box.width, box.top + box.height / 2];
  }
"""
"""Returns a point within a character of a response, so far from its left edge."""


async def tap_within(page: Page, number: int, at: int, share: float) -> None:
    x, y = await page.evaluate(CHARACTER, [number, at, share])
    await page.touchscreen.tap(x, y)


async def switch_keys_off(ann: Visitor) -> None:
    await ann.press("?")
    await ann.page.locator("#keys-on").uncheck()
    await ann.press("Escape")
    await expect(ann.page.locator("#help-dialog")).to_be_hidden()


def marks_of(page: Page, number: int) -> Locator:
    return page.get_by_role("list", name=f"Marks in response {number}").get_by_role("listitem")


async def marks_given(people: FakePeopleQueue, ann: Visitor) -> list[tuple[int, int, str]]:
    """Choose the first response; return the marks that came with it: start, end and which."""
    await ann.page.locator("[data-choose]").first.tap()
    await ann.page.locator("#confirm").tap()
    spans = (await people.answered(1))[0].spans
    assert spans is not None
    return [(s.start, s.end, s.mark) for s in spans]


async def test_without_single_keys_words_are_marked_by_arrows_and_buttons(
    people: FakePeopleQueue, enter: Enter
) -> None:
    people.waiting = [make_task(0, texts=TEXTS), make_task(1)]
    ann = await enter()
    await switch_keys_off(ann)
    await ann.press("m")
    begin = ann.page.locator("#mark")
    await expect(begin).to_have_attribute("aria-pressed", "false")
    await begin.focus()
    await ann.press("Enter")
    await expect(ann.page.locator("#announcer")).to_contain_text("the buttons mark")
    tools = ann.page.get_by_role("toolbar")
    good, bad = (tools.get_by_role("button", name=name) for name in ("Good", "Bad"))
    await expect(good).to_be_focused()
    await ann.press("ArrowRight", "+")  # which is a single key
    await expect(marks_of(ann.page, 1)).to_have_count(0)
    await ann.press("Enter")
    await expect(marks_of(ann.page, 1)).to_have_text(["GoodgoodRemove the mark on good"])
    await expect(good).to_be_focused()
    await ann.press("ArrowRight", "ArrowRight", "Shift+ArrowRight", "Tab")
    await expect(bad).to_be_focused()
    await ann.press(" ", "ArrowDown")
    await expect(ann.page.locator("#announcer")).to_contain_text("Response 2: no")
    await ann.press("Enter")
    await expect(marks_of(ann.page, 2)).to_have_count(1)
    await ann.press("Delete")
    await expect(marks_of(ann.page, 2)).to_have_count(0)
    await ann.press("Escape")
    await expect(tools).to_be_hidden()
    await expect(begin).to_be_focused()
    await ann.page.locator("[data-choose]").first.press("Enter")
    await ann.page.locator("#confirm").press("Enter")
    spans = (await people.answered(1))[0].spans
    assert spans is not None
    assert [(TEXTS[0][s.start : s.end], s.mark) for s in spans] == [
        ("good", "good"),
        ("was cold", "bad"),
    ]


async def test_the_buttons_are_on_the_screen_with_the_word_they_would_mark(
    people: FakePeopleQueue, enter: Enter
) -> None:
    people.waiting = [make_task(0, texts=("soup " * 300, "no"))]
    ann = await enter(size=PHONE)
    await switch_keys_off(ann)
    await ann.page.locator("#mark").press("Enter")
    for _ in range(60):
        await ann.press("ArrowRight", "ArrowRight", "ArrowRight", "ArrowRight")
    await expect(ann.page.get_by_role("toolbar").get_by_role("button").first).to_be_in_viewport()
    await ann.press("Enter")
    await expect(marks_of(ann.page, 1)).to_have_count(1)


async def test_with_the_buttons_goes_the_task_that_they_marked(
    people: FakePeopleQueue, enter: Enter
) -> None:
    people.waiting = [make_task(0, texts=TEXTS)]
    ann = await enter()
    await switch_keys_off(ann)
    await ann.page.locator("#mark").press("Enter")
    await expect(ann.page.get_by_role("toolbar")).to_be_visible()
    await ann.page.locator("[data-choose]").first.press("Enter")
    await ann.page.locator("#confirm").press("Enter")
    await expect(ann.page.get_by_role("heading", name="All caught up")).to_be_focused()
    await expect(ann.page.get_by_role("toolbar")).to_be_hidden()


async def test_a_mark_taken_back_leaves_the_focus_to_its_neighbour(
    people: FakePeopleQueue, enter: Enter
) -> None:
    people.waiting = [make_task(0, texts=TEXTS)]
    ann = await enter()
    await ann.press("m", "+", "ArrowRight", "+", "ArrowRight", "-", "Escape")
    await expect(marks_of(ann.page, 1)).to_have_count(3)

    def remove(word: str) -> Locator:
        return ann.page.get_by_role("button", name=f"Remove the mark on {word}", exact=True)

    await remove("good").press("Enter")
    await expect(marks_of(ann.page, 1)).to_have_count(2)
    await expect(ann.page.locator("#announcer")).to_have_text("Unmarked: good")
    await expect(remove("soup")).to_be_focused()  # the next
    await ann.press("Enter")
    await expect(remove("the")).to_be_focused()  # there is none, so the one before
    await ann.press("Enter")
    await expect(marks_of(ann.page, 1)).to_have_count(0)
    await expect(ann.page.locator("[data-choose]").first).to_be_focused()


async def test_enter_after_a_mark_was_removed_by_mouse_removes_no_other(
    people: FakePeopleQueue, enter: Enter
) -> None:
    people.waiting = [make_task(0, texts=TEXTS), make_task(1)]
    ann = await enter()
    await ann.press("m", "ArrowRight", "+", "ArrowRight", "+", "Escape")
    await ann.page.get_by_role("button", name="Remove the mark on good").click()
    await expect(ann.page.locator("#text-1 .inert")).to_be_focused()
    await ann.give("2", "Enter")
    spans = (await people.answered(1))[0].spans
    assert spans is not None
    assert [TEXTS[0][s.start : s.end] for s in spans] == ["soup"]


async def test_a_mark_made_before_another_leaves_the_focus_where_it_is(
    people: FakePeopleQueue, enter: Enter
) -> None:
    people.waiting = [make_task(0, texts=TEXTS)]
    ann = await enter()
    await ann.press("m", "ArrowRight", "ArrowRight", "-")
    remove = ann.page.get_by_role("button", name="Remove the mark on soup")
    await remove.focus()
    await ann.press("ArrowLeft", "+")
    await expect(marks_of(ann.page, 1)).to_have_count(2)
    await expect(remove).to_be_focused()


async def test_a_text_unfolded_has_the_focus_of_the_button_that_unfolded_it(
    people: FakePeopleQueue, enter: Enter
) -> None:
    people.waiting = [make_task(0, texts=("long " * 1_000, "no"))]
    ann = await enter()
    await ann.page.locator("#text-1 .fold").press("Enter")
    await expect(ann.page.locator("#text-1 .fold")).to_have_count(0)
    await expect(ann.page.locator("#text-1 .inert")).to_be_focused()


async def test_a_tap_finds_the_word_under_it_where_there_are_no_spaces(
    people: FakePeopleQueue, enter: Enter
) -> None:
    """Where two words meet, a tap within the first half of a letter is before it in the text."""
    text = "汤很好喝。「服务员」"
    people.waiting = [make_task(0, texts=(text, "no")), make_task(1)]
    ann = await enter(has_touch=True, size=PHONE)
    await ann.page.locator("#mark").tap()
    for at, share, word in (
        (0, 0.3, "汤"),
        (0, 0.8, "汤"),
        (1, 0.2, "很好"),
        (2, 0.8, "很好"),
        (3, 0.2, "喝"),
        (4, 0.3, "喝"),  # on the full stop
        (5, 0.8, "服务"),  # on the bracket
    ):
        await tap_within(ann.page, 1, at, share)
        await expect(ann.page.locator("#announcer")).to_have_text(word)
    tools = ann.page.get_by_role("toolbar")
    await tools.get_by_role("button", name="Bad").tap()
    assert await marks_given(people, ann) == [(6, 8, "bad")]


async def test_a_picture_is_marked_as_a_word_is_and_counts_as_its_characters(
    people: FakePeopleQueue, enter: Enter
) -> None:
    text = "𠮷野家 🦊🦊 ok"
    people.waiting = [make_task(0, texts=(text, "no")), make_task(1)]
    ann = await enter(has_touch=True, size=PHONE)
    await ann.page.locator("#mark").tap()
    second = len("𠮷野家 🦊".encode("utf-16-le")) // 2
    await tap_within(ann.page, 1, second, 0.3)
    await expect(ann.page.locator("#announcer")).to_have_text("🦊")
    await ann.page.get_by_role("toolbar").get_by_role("button", name="Good").tap()
    assert await marks_given(people, ann) == [(5, 6, "good")]
