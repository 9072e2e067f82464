"""What an owner is told of a decision that failed, and of a stream that was refused."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from playwright.async_api import Page, Route, expect

from tests.browser.conftest import Enter
from tests.support.fake_people_queue import FakePeopleQueue

PULL = "**/owner/cord/pull"
STREAM = "**/owner/stream"
FULL = "the disk of the run is full: the run's owner must free space on it"


def answer_late(
    status: int, asked: asyncio.Event, may_answer: asyncio.Event
) -> Callable[[Route], Awaitable[None]]:
    """Return what answers once it may."""

    async def answer(route: Route) -> None:
        asked.set()
        await may_answer.wait()
        await route.fulfill(status=status, json={"message": FULL, "field": None})

    return answer


async def pull(page: Page) -> None:
    """Stop the line, with a reason."""
    await page.get_by_role("button", name="Stop the line").click()
    await page.get_by_label("Why?").fill("it repeats itself")
    await page.get_by_role("dialog").get_by_role("button", name="Stop the line").click()


async def test_what_the_server_says_of_its_failure_is_shown(
    people: FakePeopleQueue, enter: Enter
) -> None:
    olga = await enter("olga", "owner")
    await olga.page.route(
        PULL, lambda route: route.fulfill(status=507, json={"message": FULL, "field": None})
    )
    await pull(olga.page)
    trouble = olga.page.locator("#decision-trouble")
    await expect(trouble).to_have_text(FULL)
    await olga.page.unroute(PULL)
    await olga.page.route(PULL, lambda route: route.abort())
    await olga.page.get_by_role("dialog").get_by_role("button", name="Stop the line").click()
    await expect(trouble).to_have_text("The server does not answer; try again.")


async def test_a_decision_closed_while_it_runs_touches_no_later_one(
    people: FakePeopleQueue, enter: Enter
) -> None:
    olga = await enter("olga", "owner")
    dialog = olga.page.locator("#decision")
    for status in (200, 507):
        asked, may_answer = asyncio.Event(), asyncio.Event()

        await olga.page.route(PULL, answer_late(status, asked, may_answer))
        await pull(olga.page)
        await asked.wait()
        await dialog.get_by_role("button", name="Cancel").click()
        await olga.page.get_by_role("button", name="Add a labeler").click()
        async with olga.page.expect_response(PULL):
            may_answer.set()
        if status == 507:
            await expect(olga.page.locator("#undo-text")).to_have_text(
                f"“Stop the line?” failed: {FULL}"
            )
        await expect(dialog.get_by_role("heading")).to_have_text("Add a labeler")
        await expect(olga.page.locator("#decision-trouble")).to_be_hidden()
        await dialog.get_by_role("button", name="Cancel").click()
        await olga.page.unroute(PULL)


async def test_whoever_is_refused_a_stream_reads_why(people: FakePeopleQueue, enter: Enter) -> None:
    olga = await enter("olga", "owner")
    refused = {"message": "8 pages of yours are open: close one of them", "field": None}
    await olga.page.route(
        STREAM, lambda route: route.fulfill(status=429, headers={"Retry-After": "5"}, json=refused)
    )
    await olga.page.reload()
    live = olga.page.locator("#live")
    await expect(live).to_have_text("Reconnecting … 8 pages of yours are open: close one of them")
    await olga.page.unroute(STREAM)
    await expect(live).to_have_text("Live")
