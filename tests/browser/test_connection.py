"""What the page does when the network, the server or the session does not."""

from __future__ import annotations

import asyncio

from playwright.async_api import Route, expect

from tests.browser.conftest import Enter, Visitor
from tests.support.fake_people_queue import FakePeopleQueue
from tests.support.tasks import make_task

LABELS = "**/api/v1/labels"


async def enter_again(ann: Visitor, people: FakePeopleQueue) -> None:
    """Let them in by another link, in the same tab."""
    admission = await people.owner.admit("ann", "labeler")
    await ann.page.goto(ann.url + admission.link)
    await ann.page.get_by_role("button", name="Come in").click()


async def test_an_answer_given_offline_is_kept_over_a_refresh_and_sent_once(
    people: FakePeopleQueue, enter: Enter
) -> None:
    people.waiting = [make_task(number) for number in range(3)]
    ann = await enter()
    await ann.page.route(LABELS, lambda route: route.abort())
    await ann.give("2", "Enter")
    saved = ann.page.locator("#saved")
    await expect(saved).to_contain_text("No connection; 1 answer is kept here and sent again in")
    await ann.reload()
    await expect(ann.page.locator("#task")).to_have_attribute("data-showing", "a1:0")
    await expect(saved).to_contain_text("1 answer is kept here")
    assert people.submissions == []
    await ann.page.unroute(LABELS)
    await ann.page.evaluate("dispatchEvent(new Event('online'))")
    await expect(saved).to_have_text("Saved")
    assert [answer.choice for answer in people.submissions] == ["a0-1"]


async def test_an_answer_whose_acknowledgement_is_lost_is_sent_again_unchanged(
    people: FakePeopleQueue, enter: Enter
) -> None:
    people.waiting = [make_task(number) for number in range(2)]
    ann = await enter()
    bodies: list[str | None] = []

    async def lose_first(route: Route) -> None:
        bodies.append(route.request.post_data)
        if len(bodies) == 1:
            await route.fetch()  # it arrives, and its answer does not
            await route.fulfill(status=503, json={"message": "try again"})
        else:
            await route.continue_()

    await ann.page.route(LABELS, lose_first)
    await ann.give("1", "Enter")
    await expect(ann.page.locator("#saved")).to_have_text("Saved")
    assert len(bodies) == 2
    assert bodies[0] == bodies[1]
    assert len(people.submissions) == 1


async def test_an_answer_refused_to_somebody_else_who_signed_in_is_kept_for_who_gave_it(
    people: FakePeopleQueue, enter: Enter
) -> None:
    people.waiting = [make_task(number) for number in range(4)]
    ann = await enter()
    await people.given_out(3)
    bob = await ann.page.context.new_page()
    await bob.goto(ann.url + (await people.owner.admit("bob", "labeler")).link)
    await bob.get_by_role("button", name="Come in").click()
    await expect(bob.locator("#task")).to_be_visible()
    await ann.press("1", "Enter")
    saved = ann.page.locator("#saved")
    await expect(saved).to_have_text(
        "Somebody else signed in here; 1 answer is kept here until you come back: reload the page"
    )
    assert people.submissions == []
    await bob.close()
    await enter_again(ann, people)
    await expect(saved).to_have_text("Saved")
    assert [answer.choice for answer in people.submissions] == ["a0-0"]


async def test_too_fast_waits_as_long_as_it_is_told(people: FakePeopleQueue, enter: Enter) -> None:
    people.waiting = [make_task(number) for number in range(2)]
    ann = await enter(has_clock=True)
    requests: list[str] = []

    async def refuse_first(route: Route) -> None:
        requests.append(route.request.url)
        if len(requests) == 1:
            await route.fulfill(
                status=429, headers={"Retry-After": "20"}, json={"message": "too fast"}
            )
        else:
            await route.continue_()

    await ann.page.route(LABELS, refuse_first)
    await ann.give("1", "Enter")
    saved = ann.page.locator("#saved")
    await expect(saved).to_have_text("Too fast; 1 answer is kept here and sent again in 20 seconds")
    await ann.page.clock.run_for(15_000)
    assert len(requests) == 1
    await ann.page.clock.run_for(6_000)
    await expect(saved).to_have_text("Saved")
    assert len(people.submissions) == 1


async def test_an_answer_that_is_refused_is_said_to_be(
    people: FakePeopleQueue, enter: Enter
) -> None:
    people.waiting = [make_task(number) for number in range(2)]
    ann = await enter()
    await ann.page.route(
        LABELS, lambda route: route.fulfill(status=409, json={"message": "answered before"})
    )
    await ann.give("1", "Enter")
    await expect(ann.page.locator("#refused")).to_have_text(
        "An answer was not taken: there is another answer to this task already (answered before)"
    )


async def test_a_session_that_ends_keeps_the_answer_for_the_next(
    people: FakePeopleQueue, enter: Enter
) -> None:
    people.waiting = [make_task(number) for number in range(3)]
    ann = await enter()
    await people.given_out(3)
    await ann.page.route("**/api/**", lambda route: route.abort())
    await ann.page.route(LABELS, lambda route: route.continue_())  # what hears of it first
    await people.owner.revoke("ann", "lost laptop")
    await ann.press("3", "Enter")
    await expect(ann.page.get_by_role("heading", name="Your session has ended")).to_be_focused()
    assert people.submissions == []
    await ann.page.unroute("**/api/**")
    await enter_again(ann, people)
    await expect(ann.page.locator("#saved")).to_have_text("Saved")
    assert [answer.choice for answer in people.submissions] == ["a0-2"]


async def test_a_session_that_ends_keeps_what_was_begun(
    people: FakePeopleQueue, enter: Enter
) -> None:
    people.waiting = [make_task(number) for number in range(3)]
    ann = await enter()
    await people.given_out(3)
    await ann.press("3")
    await people.owner.revoke("ann", "lost laptop")
    await ann.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")  # it asks
    await expect(ann.page.get_by_role("heading", name="Your session has ended")).to_be_focused()
    await enter_again(ann, people)
    await expect(ann.page.locator("#task")).to_have_attribute("data-showing", "a0:0")
    await ann.press("Enter")
    await expect(ann.page.locator("#saved")).to_have_text("Saved")
    assert [answer.choice for answer in people.submissions] == ["a0-2"]


async def test_two_tasks_are_ready_ahead_and_no_more(people: FakePeopleQueue, enter: Enter) -> None:
    people.waiting = [make_task(number) for number in range(6)]
    ann = await enter()
    await people.given_out(3)
    await ann.give("1", "Enter")
    await people.given_out(4)
    await people.answered(1)
    held = (await people.held_tasks("ann")).tasks
    assert [task.assignment_id for task in held] == ["a1", "a2", "a3"]
    await ann.page.route("**/tasks/next*", lambda route: route.abort())
    await ann.give("1", "Enter")  # without asking anybody
    await ann.give("1", "Enter")
    await expect(ann.page.locator("#task")).to_have_attribute("data-showing", "a3:0")


async def test_leases_are_renewed_while_somebody_is_there(
    people: FakePeopleQueue, enter: Enter
) -> None:
    people.waiting = [make_task(0)]
    ann = await enter()
    # Time stands before the page is there: on a busy machine half a minute goes by itself, and a
    # renewal that nobody waited for arrives when all is thought to be quiet.
    await ann.page.clock.install(time=0)
    await ann.page.clock.pause_at(3_600)
    await ann.reload()
    await expect(ann.page.locator("#task")).to_be_visible()
    people.heartbeats.clear()
    async with ann.page.expect_response("**/heartbeat"):
        await ann.page.clock.run_for(31_000)
    assert people.heartbeats == ["a0"]  # once, so that none is under way when all is quiet
    await ann.page.clock.fast_forward(601_000)  # nobody moved for ten minutes
    people.heartbeats.clear()
    await ann.page.evaluate("document.dispatchEvent(new Event('scroll'))")  # by the page itself
    await ann.page.clock.run_for(95_000)
    assert people.heartbeats == []
    await ann.page.mouse.move(200, 200)
    async with ann.page.expect_response("**/heartbeat"):
        await ann.page.clock.run_for(31_000)
    assert set(people.heartbeats) == {"a0"}


async def test_a_task_that_went_to_somebody_else_is_not_shown_unless_it_already_is(
    people: FakePeopleQueue, enter: Enter
) -> None:
    people.waiting = [make_task(number) for number in range(3)]
    ann = await enter()
    await ann.page.clock.install(time=0)
    await ann.page.clock.pause_at(3_600)
    await ann.reload()
    await people.given_out(3)
    await expect(ann.page.locator("#task")).to_have_attribute("data-showing", "a0:0")
    people.given_to_others = {"a0", "a1"}
    at = 200
    while "a2" not in people.heartbeats:  # it may be on its way to the page yet
        at += 1
        await ann.page.mouse.move(at, at)
        await ann.page.clock.run_for(31_000)
        await asyncio.sleep(0.1)
    await expect(ann.page.locator("#task")).to_have_attribute("data-showing", "a0:0")
    await ann.give("1", "Enter")
    await expect(ann.page.locator("#task")).to_have_attribute("data-showing", "a2:0")
    assert [answer.assignment_id for answer in await people.answered(1)] == ["a0"]


async def test_a_new_task_comes_by_itself(people: FakePeopleQueue, enter: Enter) -> None:
    ann = await enter()
    await expect(ann.page.get_by_role("heading", name="All caught up")).to_be_visible()
    people.waiting = [make_task(0)]
    people.change.set()
    await expect(ann.page.locator("#question")).to_be_focused()


async def test_a_run_that_has_all_it_wants_says_so(people: FakePeopleQueue, enter: Enter) -> None:
    people.waiting = [make_task(0)]
    ann = await enter()
    people.is_closed = True
    await ann.press("1", "Enter")
    await expect(ann.page.get_by_role("heading", name="Thank you")).to_be_visible()
    await ann.press("u")
    await expect(ann.page.locator("#task")).to_have_attribute("data-showing", "a0:1")
    await ann.press("4", "Enter")
    await expect(ann.page.get_by_role("heading", name="Thank you")).to_be_visible()
    await expect(ann.page.locator("#saved")).to_have_text("Saved")
    assert [answer.choice for answer in people.submissions] == ["a0-0", "a0-3"]


async def test_leaving_ends_the_session(people: FakePeopleQueue, enter: Enter) -> None:
    ann = await enter()
    await ann.page.get_by_role("button", name="Leave").click()
    await expect(ann.page.get_by_role("heading", name="You are not signed in")).to_be_visible()
    assert await ann.page.context.cookies() == []
