"""What becomes of answers that the run does not take: none is lost, and none holds up another."""

from __future__ import annotations

import json
from pathlib import Path

from playwright.async_api import Page, Route, expect

from tests.browser.conftest import Enter
from tests.support.fake_people_queue import FakePeopleQueue
from tests.support.tasks import make_task

LABELS = "**/api/v1/labels"
FULL = "the disk of the run is full: the run's owner must free space on it, then send this again"


REFUSALS = {
    "a0": (400, "the run refused it"),
    "a1": (403, "it is not yours to do"),
    "a2": (404, "the run does not know this task"),
    "a3": (409, "there is another answer to this task already"),
    "a4": (413, "it is too long"),
    "a5": (415, "the run refused it"),
    "a6": (421, "this run has another address"),
    "a7": (422, "something in it cannot be"),
}
FAILURES = {
    408: "it took too long to arrive",
    500: "the run failed at it",
    503: "the run stores nothing now",
    507: "the run's disk is full",
}


async def answer_with(page: Page, answers: dict[str, dict[str, object]]) -> None:
    """Answer so to labels of these assignments; let all others pass."""

    async def handle(route: Route) -> None:
        assignment_id = json.loads(route.request.post_data or "{}")["assignment_id"]
        if assignment_id in answers:
            await route.fulfill(**answers[assignment_id])  # type: ignore[arg-type]
        else:
            await route.continue_()

    await page.route(LABELS, handle)


def refusal(message: str, field: str | None = "assignment_id") -> dict[str, object]:
    return {"error": "Refused", "message": message, "field": field}


async def test_answers_that_are_refused_are_kept_and_hold_up_no_other(
    people: FakePeopleQueue, enter: Enter
) -> None:
    people.waiting = [make_task(number) for number in range(10)]
    ann = await enter()
    refused = refusal("leave it and get another")
    await answer_with(
        ann.page, {each: {"status": code, "json": refused} for each, (code, _) in REFUSALS.items()}
    )
    for _, why in REFUSALS.values():
        await ann.give("1", "Enter")
        await expect(ann.page.locator("#refused")).to_have_text(
            f"An answer was not taken: {why} (leave it and get another)"
        )
    await ann.give("2", "Enter")
    assert [answer.choice for answer in await people.answered(1)] == ["a8-1"]
    kept = ann.page.locator("#not-taken")
    await expect(kept).to_contain_text("8 answers that were not taken are kept in this browser.")
    await ann.reload()
    await expect(kept).to_contain_text("8 answers")


async def test_what_was_not_taken_is_downloaded_and_let_go_of(
    people: FakePeopleQueue, enter: Enter, tmp_path: Path
) -> None:
    people.waiting = [make_task(number) for number in range(2)]
    ann = await enter()
    wrong = {"status": 422, "json": refusal("spans.0.end: too far", "spans.0.end")}
    await answer_with(ann.page, {"a0": wrong})
    await ann.give("4", "Enter")
    async with ann.page.expect_download() as started:
        await ann.page.get_by_role("button", name="Download").click()
    file = tmp_path / "answers.jsonl"
    download = await started.value
    await download.save_as(file)
    assert download.suggested_filename == "andon-run-1.jsonl"
    [kept] = [json.loads(line) for line in file.read_text().splitlines()]
    assert (kept["status"], kept["message"]) == (422, "spans.0.end: too far")
    assert (kept["answer"]["assignment_id"], kept["answer"]["choice"]) == ("a0", "a0-3")
    await ann.page.get_by_role("button", name="Let go of it all").click()
    await expect(ann.page.locator("#not-taken")).to_be_hidden()
    await expect(ann.page.locator("#main")).to_be_focused()
    await ann.reload()
    await expect(ann.page.locator("#not-taken")).to_be_hidden()


async def test_an_answer_that_may_be_taken_later_is_sent_again_and_why_is_said(
    people: FakePeopleQueue, enter: Enter
) -> None:
    people.waiting = [make_task(number) for number in range(6)]
    ann = await enter()
    saved = ann.page.locator("#saved")
    for number, (status, why) in enumerate(FAILURES.items()):
        await answer_with(ann.page, {f"a{number}": {"status": status, "json": refusal(FULL, None)}})
        await ann.give("1", "Enter")
        await expect(saved).to_contain_text(f"Not saved yet: {why}; 1 answer is kept here and sent")
        await expect(saved).to_contain_text(f"({FULL})")
        await ann.page.unroute(LABELS)
        await expect(saved).to_have_text("Saved")
    await expect(ann.page.locator("#not-taken")).to_be_hidden()
    assert [answer.choice for answer in people.submissions] == ["a0-0", "a1-0", "a2-0", "a3-0"]


async def test_an_answer_that_the_run_fails_at_lets_others_go_first(
    people: FakePeopleQueue, enter: Enter
) -> None:
    people.waiting = [make_task(number) for number in range(3)]
    ann = await enter()
    await answer_with(ann.page, {"a0": {"status": 500, "json": refusal("it failed", None)}})
    await ann.give("1", "Enter")
    await ann.give("2", "Enter")
    assert [answer.choice for answer in await people.answered(1)] == ["a1-1"]
    await ann.page.unroute(LABELS)
    assert [answer.choice for answer in await people.answered(2)] == ["a1-1", "a0-0"]


async def test_what_a_proxy_finds_too_long_holds_up_no_other(
    people: FakePeopleQueue, enter: Enter
) -> None:
    people.waiting = [make_task(number) for number in range(3)]
    ann = await enter()
    page = "<html><h1>413 Request Entity Too Large</h1></html>"
    too_long = {"status": 413, "content_type": "text/html", "body": page}
    await answer_with(ann.page, {"a0": too_long})
    await ann.give("1", "Enter")
    await expect(ann.page.locator("#refused")).to_contain_text("it is too long (413")
    await ann.give("2", "Enter")
    assert [answer.choice for answer in await people.answered(1)] == ["a1-1"]


async def test_why_no_task_comes_is_said_until_one_does(
    people: FakePeopleQueue, enter: Enter
) -> None:
    ann = await enter()
    full = {"status": 507, "json": refusal(FULL, None)}
    await ann.page.route("**/tasks/next*", lambda route: route.fulfill(**full))
    await ann.page.reload()
    await expect(ann.page.locator("#refused")).to_have_text(
        f"No new task comes: the run's disk is full ({FULL})"
    )
    people.waiting = [make_task(0)]
    await ann.page.unroute("**/tasks/next*")
    await expect(ann.page.locator("#task")).to_be_visible()
    await expect(ann.page.locator("#refused")).to_be_hidden()
