"""Photograph both pages for the README: `.venv/bin/python tools/screenshots.py`.

The pages are the real ones, in Chromium; the run they show is made up here.
"""

from __future__ import annotations

import asyncio
import math
import os
import random
from dataclasses import replace
from pathlib import Path

from playwright.async_api import Browser, Page, ViewportSize, async_playwright

from label_queue.folds.shown import ShownCandidate, ShownPrompt
from label_queue.ledger.records import Role
from label_queue.oversight.overview import Disagreement, Moment, Overview, Vote
from label_queue.quality.assessment import Assessment
from tests.browser.conftest import find_chromium
from tests.support.fake_people_queue import FakePeopleQueue
from tests.support.overview import make_labeler, make_overview, make_progress
from tests.support.page_server import serve_people
from tests.support.tasks import make_task

DOCS = Path(__file__).resolve().parent.parent / "docs"
SIZE: ViewportSize = {"width": 1280, "height": 800}
SEED = 7
RUN = "restaurant-reviews-3"
GUIDELINES = """Choose the review you would **rather read**: warm, specific and believable.

- Kind beats clever.
- A concrete detail beats general praise.
- Never reward an invented name or address.

When two are equally good, say *tie*.
"""
MARKING = ("m", *["ArrowRight"] * 5, *["Shift+ArrowRight"] * 4, "+", "Escape", "1", "+", "+")
PROMPT = "We had been walking in the rain for an hour when we found the place, and"
RESPONSES = (
    " the owner took our coats, dried them by the stove and brought two bowls of soup before we "
    "had even sat down. We stayed until closing.",
    " it was good. The food was good and the service was good too. I would go there again because "
    "it was good.",
    " nobody looked up when we came in. After twenty minutes somebody wiped our table, badly.",
    " the smell of bread did the rest. The lentils were simple and perfect; the bill came with a "
    "map back to the station.",
)


def rows(at: float) -> tuple[Assessment, ...]:
    """Return four labelers: one new, and one whom the run has found out."""
    return (
        make_labeler("amira", labels=214, weight_share=0.2, last_label_at=at - 8),
        make_labeler(
            "jonas",
            labels=186,
            gold_right=15,
            gold_wrong=2,
            gold_accuracy=0.85,
            gold_low=0.71,
            gold_high=0.95,
            self_agreement=0.9,
            peer_agreement=0.71,
            weight_share=0.19,
            reliability=0.88,
            last_label_at=at - 21,
        ),
        make_labeler(
            "paolo",
            state="probation",
            labels=18,
            labels_held=18,
            gold_right=4,
            gold_wrong=1,
            gold_accuracy=0.8,
            gold_low=0.58,
            gold_high=0.95,
            self_agreement=None,
            peer_agreement=None,
            position_z=None,
            weight_share=0.0,
            reliability=None,
            last_label_at=at - 40,
        ),
        make_labeler(
            "quick-7",
            state="suspended",
            labels=61,
            labels_held=61,
            gold_right=4,
            gold_wrong=8,
            gold_accuracy=0.545,
            gold_low=0.34,
            gold_high=0.74,
            self_agreement=0.56,
            peer_agreement=0.49,
            position_z=4.6,
            fast_share=0.47,
            weight_share=0.0,
            reliability=0.31,
            flags=("gold", "position", "speed"),
            last_label_at=at - 900,
        ),
    )


def disagreement() -> Disagreement:
    """Return one that reasonable people may have."""
    return Disagreement(
        query_id="q1",
        kind="pair",
        purpose="overlap",
        prompt=ShownPrompt(text="My grandmother ordered the fish, and"),
        candidates=(
            ShownCandidate(
                candidate_id="q1-a",
                text=" she asked for the recipe. They wrote it on the back of the menu for her.",
            ),
            ShownCandidate(
                candidate_id="q1-b",
                text=" said it tasted of the harbour she grew up in, which from her is the highest "
                "praise there is.",
            ),
        ),
        votes=(
            Vote(labeler_id="amira", choice="q1-b"),
            Vote(labeler_id="paolo", choice="q1-b"),
            Vote(labeler_id="jonas", choice="q1-a"),
        ),
    )


def overviews(rng: random.Random) -> list[Overview]:
    """Return two hours of a run, a minute between each."""
    made = []
    received = 0.0
    for minute in range(121):
        at = 1_000_000.0 + 60.0 * minute
        scheduled = 64 + 512 * (1 - (1 - minute / 160) ** 2)
        received = max(received, scheduled + 10 * math.sin(minute / 9) + rng.uniform(-2, 8))
        progress = make_progress(
            labels_scheduled=round(scheduled),
            labels_received=round(received),
            labels_held=79,
            label_latency_p50_s=9.0,
        )
        made.append(
            make_overview(
                run_id=RUN,
                at=at,
                progress=progress,
                labelers=rows(at),
                active=("amira", "jonas", "paolo"),
                disagreements=(disagreement(),),
            )
        )
    return made


async def come_in(browser: Browser, people: FakePeopleQueue, url: str, role: Role) -> Page:
    """Return a window of somebody who came in by a link."""
    context = await browser.new_context(
        viewport=SIZE, color_scheme="light", reduced_motion="reduce"
    )
    page = await context.new_page()
    admission = await people.owner.admit("amira" if role == "labeler" else "olga", role)
    await page.goto(url + admission.link)
    await page.get_by_role("button", name="Come in").click()
    return page


async def photograph_labelling(browser: Browser) -> None:
    """Show a task with a choice made and two words marked."""
    tasks = [make_task(n, texts=RESPONSES, prompt=PROMPT) for n in range(40)]
    people = FakePeopleQueue(tasks, guidelines=GUIDELINES)
    people.show(run_id=RUN)
    async with serve_people(people) as url:
        page = await come_in(browser, people, url, "labeler")
        await page.wait_for_selector("#task:not([hidden])")
        for answered in range(37):
            await page.wait_for_selector(f"#task[data-showing='a{answered}:0']")
            await page.keyboard.press("4")
            await page.keyboard.press("Enter")
        await page.wait_for_selector("#saved[data-state=saved]")
        for key in MARKING:
            await page.keyboard.press(key)
        await page.get_by_text("37 in all").wait_for()
        await page.screenshot(path=DOCS / "labelling_page.png", animations="disabled")
        await page.context.close()


async def photograph_owner(browser: Browser) -> None:
    """Show the whole of the owner's page after two hours."""
    history = overviews(random.Random(SEED))
    people = FakePeopleQueue()
    moments = tuple(
        Moment(
            at=overview.at,
            received=overview.progress.labels_received,
            scheduled=overview.progress.labels_scheduled,
        )
        for overview in history[:-1]
    )
    people.shown_overview = replace(history[-1], history=moments)
    async with serve_people(people) as url:
        page = await come_in(browser, people, url, "owner")
        await page.wait_for_selector("main[data-filled=true]")
        await page.wait_for_selector("#live[data-state=live]")
        await page.screenshot(path=DOCS / "owner_page.png", full_page=True, animations="disabled")
        await page.context.close()


async def main() -> None:
    """Write docs/labelling_page.png and docs/owner_page.png."""
    args = ["--no-sandbox"] if os.geteuid() == 0 else []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=find_chromium(), args=args)
        await photograph_labelling(browser)
        await photograph_owner(browser)
        await browser.close()


if __name__ == "__main__":
    asyncio.run(main())
