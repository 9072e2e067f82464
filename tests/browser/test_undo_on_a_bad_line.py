"""Undo where it cannot be done at once: whoever has gone on is not taken back later."""

from __future__ import annotations

import asyncio

from playwright.async_api import Route, expect

from tests.browser.conftest import Enter, Visitor
from tests.support.fake_people_queue import FakePeopleQueue
from tests.support.tasks import make_task

LABELS = "**/api/v1/labels"
ME = "**/api/v1/me"
ASK = "fetch(`/api/v1/me`).then((answer) => answer.text())"


async def with_tasks(people: FakePeopleQueue, enter: Enter) -> Visitor:
    """Let somebody in, and wait until their page has the tasks that it keeps ahead."""
    people.waiting = [make_task(number) for number in range(4)]
    ann = await enter()
    await people.given_out(3)
    return ann


async def go_on(ann: Visitor) -> None:
    """Answer the second task, and have the third before oneself."""
    await ann.press("3", "Enter")
    await expect(ann.page.locator("#task")).to_have_attribute("data-showing", "a2:0")


async def answered_and_undone_late(ann: Visitor) -> asyncio.Event:
    """Answer the first task, and ask for that answer again: it comes once the event is set."""
    await ann.give("1", "Enter")
    await expect(ann.page.locator("#saved")).to_have_text("Saved")
    asked, may_come = asyncio.Event(), asyncio.Event()

    async def late(route: Route) -> None:
        asked.set()
        await may_come.wait()
        await route.continue_()

    await ann.page.route(ME, late)
    await ann.press("u")
    await asked.wait()
    return may_come


async def stays(ann: Visitor) -> None:
    """Check that the third task is there still, once the page has heard all that it asked."""
    await ann.page.evaluate(ASK)
    await expect(ann.page.locator("#task")).to_have_attribute("data-showing", "a2:0")
    await expect(ann.page.locator("#revision-banner")).to_be_hidden()


async def test_undo_asked_for_offline_takes_nobody_back_when_the_line_is_there_again(
    people: FakePeopleQueue, enter: Enter
) -> None:
    ann = await with_tasks(people, enter)
    await ann.page.route(LABELS, lambda route: route.abort())
    await ann.give("1", "Enter")
    await expect(ann.page.locator("#saved")).to_contain_text("No connection")
    await ann.press("u")
    await expect(ann.page.locator("#announcer")).to_have_text(
        "Your last answer is still being saved."
    )
    await go_on(ann)
    await ann.page.unroute(LABELS)
    await ann.page.evaluate("dispatchEvent(new Event('online'))")
    await expect(ann.page.locator("#saved")).to_have_text("Saved")
    await stays(ann)
    assert [(s.choice, s.revision) for s in people.submissions] == [("a0-0", 0), ("a1-2", 0)]


async def test_undo_whose_answer_comes_late_takes_nobody_back_who_has_gone_on(
    people: FakePeopleQueue, enter: Enter
) -> None:
    ann = await with_tasks(people, enter)
    may_come = await answered_and_undone_late(ann)
    await go_on(ann)
    may_come.set()
    await stays(ann)
    # Nobody is kept from asking again.
    await ann.give("u")
    await expect(ann.page.locator("#task")).to_have_attribute("data-showing", "a1:1")


async def test_a_skip_is_of_the_task_that_it_was_asked_of_whatever_undo_brings_meanwhile(
    people: FakePeopleQueue, enter: Enter
) -> None:
    ann = await with_tasks(people, enter)
    may_come = await answered_and_undone_late(ann)
    await ann.press("s")
    await expect(ann.page.locator("#reason-dialog")).to_be_visible()
    may_come.set()
    await ann.page.evaluate(ASK)
    await ann.press("n", "o", "Control+Enter")
    await expect(ann.page.locator("#task")).to_have_attribute("data-showing", "a2:0")
    given = [(s.assignment_id, s.outcome, s.revision) for s in await people.answered(2)]
    assert given == [("a0", "choice", 0), ("a1", "skip", 0)]
