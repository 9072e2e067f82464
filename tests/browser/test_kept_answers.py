"""What a browser keeps of answers that a run does not have, over tabs, people and its end."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from pathlib import Path

from playwright.async_api import BrowserContext, Page, Route, expect

from tests.browser.conftest import Enter, Visitor
from tests.support.fake_people_queue import FakePeopleQueue
from tests.support.tasks import make_task

LABELS = "**/api/v1/labels"
FULL = """
    const setItem = Storage.prototype.setItem;
    Storage.prototype.setItem = function (key, value) {
        if (this === localStorage) throw new DOMException("full", "QuotaExceededError");
        setItem.call(this, key, value);
    };
"""
"""A browser that has no room for more, but in its tabs."""
SHUT = """
    for (const name of ["localStorage", "sessionStorage"]) {
        Object.defineProperty(window, name, {
            get() { throw new DOMException("shut", "SecurityError"); },
        });
    }
    navigator.locks.request = async () => { throw new DOMException("shut", "SecurityError"); };
"""
"""A browser in which somebody shut all storage."""


async def open_tab(visitor: Visitor, path: str = "/") -> Visitor:
    """Open another tab of somebody's browser."""
    tab = Visitor(await visitor.page.context.new_page(), visitor.url)
    tab.watch()
    await tab.page.goto(visitor.url + path)
    return tab


async def come_in_again(visitor: Visitor, people: FakePeopleQueue, name: str = "ann") -> Visitor:
    """Open another link in another tab, as a mail does."""
    tab = await open_tab(visitor, (await people.owner.admit(name, "labeler")).link)
    await tab.page.get_by_role("button", name="Come in").click()
    await tab.settle()
    return tab


async def enter_until_it_ended(people: FakePeopleQueue, enter: Enter) -> Visitor:
    """Come in, and answer the first of three tasks when the session has ended."""
    people.waiting = [make_task(number) for number in range(3)]
    ann = await enter()
    await people.given_out(3)
    people.identities.clear()
    await ann.press("2", "Enter")
    await expect(ann.page.get_by_role("heading", name="Your session has ended")).to_be_visible()
    return ann


async def close(visitor: Visitor) -> None:
    """Close a tab as somebody does who says yes where they are asked."""
    async with visitor.page.expect_event("close"):
        await visitor.page.close(run_before_unload=True)


def count_labels(context: BrowserContext) -> Counter[str]:
    """Return how often each assignment's answer was sent from a browser, as it is counted."""
    sent: Counter[str] = Counter()

    def count(body: str | None) -> None:
        sent[json.loads(body or "{}")["assignment_id"]] += 1

    context.on(
        "request",
        lambda request: count(request.post_data) if request.url.endswith("/labels") else None,
    )
    return sent


async def kept_in(page: Page, storage: str = "localStorage") -> list[str]:
    """Return the keys of the answers that are kept."""
    keys: list[str] = await page.evaluate(f"Object.keys({storage})")
    return [key for key in keys if key.startswith(("andon-outbox", "andon-not-taken"))]


async def test_an_answer_outlives_the_tab_in_which_it_was_given(
    people: FakePeopleQueue, enter: Enter
) -> None:
    people.waiting = [make_task(number) for number in range(3)]
    ann = await enter()
    await ann.page.route(LABELS, lambda route: route.abort())
    await ann.give("2", "Enter")
    await expect(ann.page.locator("#saved")).to_contain_text("1 answer is kept here")
    tab = await open_tab(ann, "/docs")  # so that the browser stays
    await ann.page.close()
    assert people.submissions == []
    await tab.page.goto(ann.url)
    await expect(tab.page.locator("#saved")).to_have_text("Saved")
    assert [answer.choice for answer in people.submissions] == ["a0-1"]
    assert await kept_in(tab.page) == []
    ann.page = tab.page


async def test_an_answer_of_a_session_that_ended_is_sent_by_the_tab_of_the_next(
    people: FakePeopleQueue, enter: Enter
) -> None:
    ann = await enter_until_it_ended(people, enter)
    saved = ann.page.locator("#saved")
    await expect(saved).to_have_text("Session ended; 1 answer is kept here")
    tab = await come_in_again(ann, people)
    await expect(tab.page.locator("#saved")).to_have_text("Saved")
    assert [answer.choice for answer in people.submissions] == ["a0-1"]
    await expect(saved).to_have_text("Session ended")
    await close(ann)
    assert ann.dialogs == []  # nothing of it is left to lose
    ann.page = tab.page


async def test_closing_asks_while_an_answer_is_not_saved_though_the_session_ended(
    people: FakePeopleQueue, enter: Enter
) -> None:
    ann = await enter_until_it_ended(people, enter)
    tab = await open_tab(ann)
    await ann.page.bring_to_front()
    await close(ann)
    assert ann.dialogs == ["beforeunload"]
    ann.page = tab.page


async def test_a_run_that_is_over_says_so_and_what_it_did_not_take_is_downloaded(
    people: FakePeopleQueue, enter: Enter, tmp_path: Path
) -> None:
    people.waiting = [make_task(number) for number in range(3)]
    ann = await enter()
    sent = count_labels(ann.page.context)
    people.is_over = True
    await ann.press("2", "Enter")
    await expect(ann.page.get_by_role("heading", name="The run is over")).to_be_focused()
    saved = ann.page.locator("#saved")
    await expect(saved).to_have_text("The run is over; 1 answer is kept here")
    async with ann.page.expect_download() as started:
        await ann.page.get_by_role("button", name="Download").click()
    await (await started.value).save_as(tmp_path / "answers.jsonl")
    [kept] = [json.loads(line) for line in (tmp_path / "answers.jsonl").read_text().splitlines()]
    assert kept["answer"]["choice"] == "a0-1"
    assert sent == {"a0": 1}  # it is not tried again and again
    await ann.page.reload()
    await expect(saved).to_have_text("The run is over; 1 answer is kept here")
    people.is_over = False  # the run was resumed
    await ann.reload()
    await expect(saved).to_have_text("Saved")
    assert [answer.choice for answer in people.submissions] == ["a0-1"]


async def test_what_a_run_that_is_over_did_not_take_can_be_let_go_of(
    people: FakePeopleQueue, enter: Enter
) -> None:
    people.waiting = [make_task(0)]
    ann = await enter()
    people.is_over = True
    await ann.press("2", "Enter")
    await ann.page.get_by_role("button", name="Let go of it all").click()
    await expect(ann.page.locator("#not-taken")).to_be_hidden()
    await expect(ann.page.locator("#saved")).to_have_text("The run is over")
    assert await kept_in(ann.page) == []


async def test_what_cannot_be_sent_for_long_can_be_taken_along(
    people: FakePeopleQueue, enter: Enter
) -> None:
    people.waiting = [make_task(0), make_task(1)]
    ann = await enter(has_clock=True)
    await ann.page.route(LABELS, lambda route: route.abort())
    await ann.give("2", "Enter")
    saved, kept = ann.page.locator("#saved"), ann.page.locator("#not-taken")
    for wait_s in (1, 2, 4, 8, 16):
        await expect(saved).to_contain_text(f"sent again in {wait_s} second")
        await expect(kept).to_be_hidden()
        await ann.page.clock.run_for(wait_s * 1_000)
    await expect(kept).to_contain_text("1 answer that was not taken")
    async with ann.page.expect_download():
        await ann.page.get_by_role("button", name="Download").click()
    await ann.page.get_by_role("button", name="Let go of it all").click()
    await expect(saved).to_have_text("")
    assert await kept_in(ann.page) == []
    assert people.submissions == []


async def test_two_tabs_send_each_answer_once(people: FakePeopleQueue, enter: Enter) -> None:
    people.waiting = [make_task(number) for number in range(3)]
    ann = await enter()
    await people.given_out(3)
    tab = await open_tab(ann)
    await tab.settle()
    context = ann.page.context
    sent, is_away = count_labels(context), True

    async def handle(route: Route) -> None:
        await (route.abort() if is_away else route.continue_())

    await context.route(LABELS, handle)
    await ann.give("1", "Enter")
    await expect(ann.page.locator("#saved")).to_contain_text("1 answer is kept here")
    await tab.give("3", "Enter")
    await ann.give("4", "Enter")
    for each in (ann, tab):
        await expect(each.page.locator("#saved")).to_contain_text("3 answers are kept here")
    sent.clear()
    is_away = False
    for each in (ann, tab):
        await each.page.evaluate("dispatchEvent(new Event('online'))")
    for each in (ann, tab):
        await expect(each.page.locator("#saved")).not_to_contain_text("kept here")
        await expect(each.page.locator("#saved")).not_to_have_text("Saving …")
    # Both answered the first task: what was given first counts, and whoever gave the other is told.
    assert sent == {"a0": 2, "a1": 1}
    assert [answer.choice for answer in people.submissions] == ["a0-0", "a1-3"]
    await expect(tab.page.locator("#refused")).to_contain_text("there is another answer to this")
    await expect(ann.page.locator("#refused")).to_be_hidden()
    for each in (ann, tab):
        await expect(each.page.locator("#not-taken")).to_contain_text("1 answer that was not taken")
    await tab.page.close()


async def test_an_answer_whose_tab_died_while_sending_is_sent_by_another(
    people: FakePeopleQueue, enter: Enter
) -> None:
    people.waiting = [make_task(number) for number in range(3)]
    ann = await enter()
    await people.given_out(3)
    tab = await open_tab(ann)
    await tab.settle()
    arrived = asyncio.Event()

    async def hold(route: Route) -> None:
        await route.fetch()  # it arrives, and its tab hears nothing
        arrived.set()

    await ann.page.route(LABELS, hold)
    sent = count_labels(ann.page.context)
    await ann.press("2", "Enter")
    await arrived.wait()
    await people.answered(1)
    assert await kept_in(tab.page) != []
    await ann.page.close()
    await expect(tab.page.locator("#saved")).to_have_text("Saved")
    assert sent == {"a0": 2}
    assert [answer.choice for answer in people.submissions] == ["a0-1"]
    assert await kept_in(tab.page) == []
    ann.page = tab.page


async def test_what_one_tab_answered_is_not_asked_in_another(
    people: FakePeopleQueue, enter: Enter
) -> None:
    people.waiting = [make_task(number) for number in range(3)]
    ann = await enter()
    await people.given_out(3)
    tab = await open_tab(ann)
    await tab.settle()
    await tab.give("1", "Enter")
    await tab.give("2", "Enter")  # a1, which waits in the other tab's line
    await people.answered(2)
    await ann.press("3", "Enter")
    await expect(ann.page.locator("#task")).to_have_attribute("data-showing", "a2:0")
    await tab.page.close()


async def test_somebody_else_neither_sees_nor_sends_what_is_kept(
    people: FakePeopleQueue, enter: Enter
) -> None:
    people.waiting = [make_task(number) for number in range(8)]
    ann = await enter()
    wrong = {"status": 422, "json": {"error": "InvalidLabel", "message": "no", "field": "choice"}}
    await ann.page.route(LABELS, lambda route: route.fulfill(**wrong))
    await ann.give("1", "Enter")
    await expect(ann.page.locator("#not-taken")).to_contain_text("1 answer")
    await ann.page.unroute(LABELS)
    await ann.page.route(LABELS, lambda route: route.abort())
    await ann.give("2", "Enter")
    await expect(ann.page.locator("#saved")).to_contain_text("1 answer is kept here")
    await ann.page.get_by_role("button", name="Leave").click()
    await expect(ann.page.get_by_role("heading", name="You are not signed in")).to_be_visible()
    assert ann.dialogs == ["confirm"]  # once, and in words that say what stays
    bob = await come_in_again(ann, people, "ann:bob")  # whose name begins as hers does
    await bob.give("3", "Enter")
    await expect(bob.page.locator("#saved")).to_have_text("Saved")
    await expect(bob.page.locator("#not-taken")).to_be_hidden()
    [answer] = people.submissions
    assert people.given[answer.assignment_id].labeler_id == "ann:bob"
    await bob.page.get_by_role("button", name="Leave").click()
    await expect(bob.page.get_by_role("heading", name="You are not signed in")).to_be_visible()
    assert bob.dialogs == []
    await ann.page.close()
    back = await come_in_again(bob, people)
    await expect(back.page.locator("#saved")).to_have_text("Saved")
    await expect(back.page.locator("#not-taken")).to_contain_text("1 answer")
    assert {given.labeler_id for given in people.given.values() if given.answers} == {
        "ann",
        "ann:bob",
    }
    ann.page = back.page


async def test_whoever_came_in_again_elsewhere_is_told_to_reload(
    people: FakePeopleQueue, enter: Enter
) -> None:
    people.waiting = [make_task(number) for number in range(5)]
    ann = await enter()
    await people.given_out(3)
    tab = await come_in_again(ann, people)
    await tab.page.goto("about:blank")
    await ann.press("1", "Enter")
    await expect(ann.page.locator("#saved")).to_contain_text(
        "You came in again in another tab; 1 answer is kept here"
    )
    await ann.reload()
    await expect(ann.page.locator("#saved")).to_have_text("Saved")
    assert [answer.choice for answer in people.submissions] == ["a0-0"]


async def test_a_browser_without_room_keeps_answers_in_the_tab_and_says_so(
    people: FakePeopleQueue, enter: Enter
) -> None:
    people.waiting = [make_task(number) for number in range(3)]
    ann = await enter()
    await ann.page.add_init_script(FULL)
    await ann.reload()
    said = ann.page.locator("#kept-briefly")
    await expect(said).to_be_hidden()
    await ann.page.route(LABELS, lambda route: route.abort())
    await ann.give("2", "Enter")
    await expect(said).to_contain_text("is lost once this tab is closed")
    await ann.reload()
    await expect(said).to_contain_text("is lost once this tab is closed")
    assert len(await kept_in(ann.page, "sessionStorage")) == 1
    await ann.page.unroute(LABELS)
    await ann.page.evaluate("dispatchEvent(new Event('online'))")
    await expect(ann.page.locator("#saved")).to_have_text("Saved")
    await expect(said).to_be_hidden()
    assert [answer.choice for answer in people.submissions] == ["a0-1"]


async def test_a_browser_that_keeps_nothing_lets_people_label_and_says_so(
    people: FakePeopleQueue, enter: Enter
) -> None:
    people.waiting = [make_task(number) for number in range(4)]
    ann = await enter()
    await ann.page.add_init_script(SHUT)
    await ann.reload()
    await ann.give("1", "Enter")
    await expect(ann.page.locator("#saved")).to_have_text("Saved")
    await ann.page.route(LABELS, lambda route: route.abort())
    await ann.give("2", "Enter")
    said = ann.page.locator("#kept-briefly")
    await expect(said).to_contain_text("is lost once this page is closed or reloaded")
    # Another language is another page: here, too, something would be lost by it.
    await ann.page.locator("summary").click()
    await ann.page.get_by_role("link", name="Deutsch").click()
    await expect(ann.page.locator("html[lang=de]")).to_have_count(1)
    assert ann.dialogs == ["beforeunload"]
