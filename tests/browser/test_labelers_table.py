"""The owner finds anybody among very many labelers: sorted, filtered, a page at a time, live."""

from __future__ import annotations

import pytest
from playwright.async_api import Locator, expect

from label_queue.oversight.overview import Holding
from label_queue.quality.assessment import Assessment
from tests.browser.conftest import Enter, Visitor
from tests.browser.test_accessibility import LOOKS, violations
from tests.support.fake_people_queue import FakePeopleQueue
from tests.support.overview import make_labeler

NOBODY_SUCH = "No labeler is like that."


def two_hundred() -> tuple[Assessment, ...]:
    """labeler-1 to labeler-200: the higher the number, the more labels and the worse the gold."""
    return tuple(
        make_labeler(
            f"labeler-{number}",
            labels=10 * number,
            gold_accuracy=0.95 - number / 1_000,
            peer_agreement=None if number % 2 else 0.5 + number / 1_000,
            position_z=-3.0 if number == 7 else 0.5,
            state="suspended" if number % 50 == 0 else "active",
            flags=("gold",) if number % 50 == 0 else (),
            is_doubted=number % 40 == 0,
        )
        for number in range(1, 201)
    )


def rows(olga: Visitor) -> Locator:
    return olga.page.locator("#labelers tr")


def names(olga: Visitor) -> Locator:
    return olga.page.locator("#labelers .name")


def header(olga: Visitor, name: str) -> Locator:
    return olga.page.get_by_role("columnheader", name=name)


def pager(olga: Visitor) -> Locator:
    return olga.page.get_by_role("group", name="Pages of labelers")


async def shows(olga: Visitor, *wanted: int) -> None:
    """Wait until the page begins with these labelers."""
    for at, number in enumerate(wanted):
        await expect(names(olga).nth(at)).to_have_text(f"labeler-{number}")


@pytest.fixture
async def olga(people: FakePeopleQueue, enter: Enter) -> Visitor:
    """An owner before two hundred labelers, of whom four are active."""
    active = tuple(f"labeler-{number}" for number in (3, 40, 41, 150))
    people.show(labelers=two_hundred(), active=active)
    return await enter("olga", "owner")


async def test_they_come_by_name_a_page_at_a_time(olga: Visitor) -> None:
    await expect(rows(olga)).to_have_count(20)
    await shows(olga, 1, 2, 3)
    await expect(pager(olga)).to_contain_text("1 to 20 of 200")
    forth, back = (pager(olga).get_by_role("button", name=name) for name in ("Next", "Previous"))
    for _ in range(9):
        await forth.focus()
        await olga.press("Enter")
    await shows(olga, 181)
    await expect(pager(olga)).to_contain_text("181 to 200 of 200")
    await expect(forth).to_be_disabled()
    await expect(back).to_be_focused()


async def test_a_header_sorts_by_keyboard_and_says_so(olga: Visitor) -> None:
    await expect(header(olga, "Labeler")).to_have_attribute("aria-sort", "ascending")
    await header(olga, "Labels").get_by_role("button").focus()
    await olga.press("Enter")
    await shows(olga, 200, 199)
    await expect(header(olga, "Labels")).to_have_attribute("aria-sort", "descending")
    await expect(olga.page.locator("[aria-sort]")).to_have_count(1)
    await olga.press("Space")
    await shows(olga, 1, 2)
    await expect(header(olga, "Labels")).to_have_attribute("aria-sort", "ascending")
    await expect(header(olga, "Labels").get_by_role("button")).to_be_focused()


async def test_what_matters_most_comes_first_and_what_is_unknown_last(olga: Visitor) -> None:
    for column, first in (("Gold accuracy", 200), ("Peers", 2), ("Position", 7), ("Labels", 200)):
        await header(olga, column).get_by_role("button").click()
        await shows(olga, first)
    for direction in ("ascending", "descending"):
        await header(olga, "Peers").get_by_role("button").click()
        await expect(header(olga, "Peers")).to_have_attribute("aria-sort", direction)
        await shows(olga, 2 if direction == "ascending" else 200)
        await expect(rows(olga).nth(19).locator("td").nth(3)).not_to_have_text("–")


async def test_they_are_found_by_name_state_and_what_speaks_against_them(olga: Visitor) -> None:
    search = olga.page.get_by_label("Search labelers")
    state, flags = olga.page.get_by_label("Show labelers"), olga.page.get_by_label("Flags")
    await search.fill("LABELER-15")
    await expect(rows(olga)).to_have_count(11)
    await expect(olga.page.locator("#announcer")).to_have_text("11 labelers shown")
    await expect(pager(olga)).to_be_hidden()
    await state.select_option("Suspended")
    await expect(names(olga)).to_have_text(["labeler-150"])
    await search.fill("")
    await expect(names(olga)).to_have_text([f"labeler-{number}" for number in (50, 100, 150, 200)])
    await state.select_option("in every state")
    await flags.select_option("in doubt")
    await expect(rows(olga)).to_have_count(5)
    await flags.select_option("⚑ gold")
    await expect(rows(olga)).to_have_count(4)
    await flags.select_option("flagged or in doubt")
    await expect(rows(olga)).to_have_count(8)
    await state.select_option("Excluded")
    await expect(olga.page.get_by_text(NOBODY_SUCH)).to_be_visible()


async def test_who_is_active_now_is_marked_counted_and_can_be_shown_alone(
    people: FakePeopleQueue, olga: Visitor
) -> None:
    marks = olga.page.get_by_text("active now", exact=True)
    await expect(olga.page.locator("#labelers-active")).to_have_text(
        "4 active now, of 200 labelers"
    )
    await expect(marks).to_have_count(1)  # of those on the first page
    await expect(rows(olga).filter(has=marks).locator(".name")).to_have_text("labeler-3")
    await olga.page.get_by_label("Only who is active now").check()
    await expect(names(olga)).to_have_text([f"labeler-{number}" for number in (3, 40, 41, 150)])
    people.show(active=("labeler-41",))
    await expect(names(olga)).to_have_text(["labeler-41"])
    await expect(olga.page.locator("#labelers-active")).to_contain_text("1 active now")


async def test_sorting_filter_page_and_focus_outlast_what_comes_each_second(
    people: FakePeopleQueue, olga: Visitor
) -> None:
    await olga.page.get_by_label("Search labelers").fill("labeler-1")
    await header(olga, "Labels").get_by_role("button").click()
    await pager(olga).get_by_role("button", name="Next").click()
    await shows(olga, 179, 178)
    await olga.page.locator("#labelers-heading").hover()
    answers = rows(olga).nth(1).get_by_role("button", name="Answers")
    await answers.focus()
    for extra in (1, 2, 3):
        people.set_row("labeler-178", labels=1_780 + extra)
        cell = olga.page.get_by_role("row").filter(has_text="labeler-178").locator("td").first
        await expect(cell).to_have_text(f"{1_780 + extra:,}")
    await expect(answers).to_be_focused()
    await expect(pager(olga)).to_contain_text("21 to 40 of 111")
    people.set_row("labeler-178", labels=1_795)  # more than labeler-179 has
    await shows(olga, 178, 179)
    focused = olga.page.locator("button:focus")
    await expect(focused).to_have_accessible_name("Answers labeler-178")
    await expect(header(olga, "Labels")).to_have_attribute("aria-sort", "descending")
    await expect(olga.page.get_by_label("Search labelers")).to_have_value("labeler-1")


async def test_no_row_moves_or_goes_while_the_pointer_is_over_them(
    people: FakePeopleQueue, olga: Visitor
) -> None:
    await olga.page.get_by_label("Show labelers").select_option("Suspended")
    await header(olga, "Labels").get_by_role("button").click()
    await shows(olga, 200, 150, 100, 50)
    await names(olga).nth(1).hover()
    people.set_row("labeler-50", labels=5_000)
    people.set_row("labeler-200", state="active")
    await expect(rows(olga).nth(0).locator(".state")).to_have_text("Active")
    await expect(rows(olga).nth(3).locator("td").first).to_have_text("5,000")
    await shows(olga, 200, 150, 100, 50)
    await olga.page.get_by_label("Search labelers").hover()
    await shows(olga, 50, 150, 100)
    await expect(rows(olga)).to_have_count(3)


@LOOKS
async def test_it_can_be_read_by_everybody(
    people: FakePeopleQueue, enter: Enter, size: tuple[int, int], dark: bool
) -> None:
    held = Holding(labeler_id="labeler-50", num_tasks=2, since=0.0, is_overdue=True)
    people.show(labelers=two_hundred(), active=("labeler-2", "labeler-50"), held=(held,))
    olga = await enter("olga", "owner", size=size, dark=dark)
    await header(olga, "Labels").get_by_role("button").click()
    await olga.page.get_by_label("Flags").select_option("flagged or in doubt")
    assert await violations(olga.page) == []
    assert await olga.page.evaluate("document.documentElement.scrollWidth") == size[0]
    table = olga.page.get_by_role("region", name="Labelers").last
    assert await table.evaluate("node => node.scrollWidth - node.clientWidth") == 0
    await olga.page.locator("#labelers-heading").scroll_into_view_if_needed()
