"""Leaving, and being told that one's role is another: nobody goes on unaware of either."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from playwright.async_api import Route, expect

from tests.browser.conftest import Enter
from tests.support.fake_people_queue import FakePeopleQueue
from tests.support.tasks import make_task

LEAVE = "**/leave"


def failing(status: int) -> Callable[[Route], Awaitable[None]]:
    """Return what answers with this status."""
    said = {"message": "free space on it", "field": None}

    async def fail(route: Route) -> None:
        await route.fulfill(status=status, json=said)

    return fail


async def test_a_labeler_who_could_not_leave_is_told_that_they_are_still_signed_in(
    people: FakePeopleQueue, enter: Enter
) -> None:
    people.waiting = [make_task(0)]
    ann = await enter()
    leave = ann.page.get_by_role("button", name="Leave")
    said = ann.page.locator("#refused")
    for status, why in ((403, "it is not yours to do"), (507, "the run's disk is full")):
        await ann.page.route(LEAVE, failing(status))
        await leave.click()
        await expect(said).to_contain_text(f"You are still signed in here: {why}. Try again to")
        await expect(said).to_contain_text("(free space on it)")
    await ann.page.route(LEAVE, lambda route: route.abort())
    await leave.click()
    await expect(said).to_contain_text("still signed in here: there is no connection.")
    await ann.page.unroute(LEAVE)
    people.identities.clear()
    await leave.click()
    await expect(ann.page.get_by_role("heading", name="You are not signed in")).to_be_visible()


async def test_an_owner_who_could_not_leave_is_told_that_they_are_still_signed_in(
    enter: Enter,
) -> None:
    olga = await enter("olga", "owner")
    await olga.page.route(LEAVE, failing(503))
    await olga.page.get_by_role("button", name="Leave").click()
    said = olga.page.locator("#undo-text")
    await expect(said).to_contain_text("You are still signed in here.")
    await expect(said).to_contain_text("free space on it")


async def test_a_labeler_who_is_an_observer_now_is_told_so_and_asks_no_more(
    people: FakePeopleQueue, enter: Enter
) -> None:
    people.waiting = [make_task(0), make_task(1)]
    ann = await enter(has_clock=True)
    await expect(ann.page.locator("#task")).to_be_visible()
    await people.owner.change_role("ann", "observer", "labelled enough")
    await ann.press("1", "Enter")
    await expect(ann.page.get_by_role("heading", name="Your role was changed")).to_be_focused()
    await expect(ann.page.locator("#saved")).to_have_text(
        "Your role was changed; 1 answer is kept here"
    )
    asked: list[str] = []
    ann.page.on("request", lambda request: asked.append(request.url))
    await ann.page.clock.run_for(10_000)
    assert [url for url in asked if "/tasks/" in url] == []
    await ann.page.get_by_role("button", name="Reload the page").click()
    await expect(ann.page).to_have_url(f"{ann.url}/owner")
    await people.owner.change_role("ann", "labeler", "needed again")
    await ann.page.goto(ann.url)
    await expect(ann.page.locator("#saved")).to_have_text("Saved")
    assert [answer.choice for answer in people.submissions] == ["a0-0"]


async def test_a_labeler_who_waits_is_told_of_another_role(
    people: FakePeopleQueue, enter: Enter
) -> None:
    ann = await enter(has_clock=True)
    await ann.page.route("**/tasks/*", lambda route: route.abort())
    await people.owner.change_role("ann", "observer", "labelled enough")
    await ann.page.clock.run_for(16_000)
    await expect(ann.page.get_by_role("heading", name="Your role was changed")).to_be_visible()


async def test_an_owner_who_is_a_labeler_now_is_told_so(
    people: FakePeopleQueue, enter: Enter
) -> None:
    olga = await enter("olga", "owner")
    await people.owner.change_role("olga", "labeler", "another owns it")
    people.show()
    await expect(olga.page.locator("#live")).to_have_text("Your role was changed: reload the page")
