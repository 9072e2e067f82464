"""What the owner is at keeps the focus while the page follows the run."""

from __future__ import annotations

from playwright.async_api import Locator, expect

from protocol.cord import Pulled
from tests.browser.conftest import Enter, Visitor
from tests.support.fake_people_queue import FakePeopleQueue
from tests.support.labels import make_cord
from tests.support.overview import make_disagreement


def pulled(name: str) -> Pulled:
    return Pulled(event_id=f"by-{name}", actor=name, reason="typo", at=980.0)


def release(olga: Visitor, name: str) -> Locator:
    return olga.page.get_by_role("button", name=f"Release the reason of {name}")


async def test_a_reason_that_comes_or_goes_leaves_the_focus_at_the_others(
    people: FakePeopleQueue, enter: Enter
) -> None:
    people.show(cord=make_cord(pulled("ann"), pulled("bob")))
    olga = await enter("olga", "owner")
    await release(olga, "ann").focus()
    people.show(cord=make_cord(pulled("ann"), pulled("bob"), pulled("cat")))
    await expect(olga.page.locator("#cord-reasons li")).to_have_count(3)
    await expect(release(olga, "ann")).to_be_focused()
    people.show(cord=make_cord(pulled("bob"), pulled("cat")))
    await expect(release(olga, "bob")).to_be_focused()
    people.show(cord=make_cord(pulled("cat")))
    await expect(olga.page.locator("#cord-heading")).to_be_focused()


async def test_a_disagreement_that_comes_or_goes_leaves_the_focus_at_the_others(
    people: FakePeopleQueue, enter: Enter
) -> None:
    first, second, third = (make_disagreement(number) for number in range(3))
    people.show(disagreements=(first, second))
    olga = await enter("olga", "owner")
    cards = olga.page.locator("#disagreements > *")
    button = cards.nth(1).get_by_role("button", name="Make gold").first
    await button.focus()
    people.show(disagreements=(third, first, second))
    await expect(cards).to_have_count(3)
    last = cards.nth(2).get_by_role("button", name="Make gold").first
    await expect(last).to_be_focused()
    people.show(disagreements=(third, first))
    await expect(cards).to_have_count(2)
    before = cards.nth(1).get_by_role("button", name="Make gold").first
    await expect(before).to_be_focused()
    people.show(disagreements=())
    await expect(olga.page.locator("#disagreements-heading")).to_be_focused()
