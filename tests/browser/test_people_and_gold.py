"""An owner manages people and gold on their page, over the real queue; an observer sees it."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from playwright.async_api import Locator, expect

from label_queue.config import IntakeConfig, WarmConfig
from label_queue.ledger.records import LabelerToken, RoleChange, TokenRevocation
from label_queue.ledger.sql import SqlLedger
from label_queue.oversight.gold_rows import GoldRow
from label_queue.quality.gold_tasks import GoldTask
from label_queue.quality_config import QualityConfig
from label_queue.queue import LabelQueue
from label_queue.schedule import LabelSchedule
from protocol.labels import Appointed, GoldMade, GoldRetired
from tests.browser.conftest import PHONE, Enter, Visitor
from tests.browser.test_accessibility import LOOKS, violations
from tests.support.beside import events_written, written
from tests.support.labels import make_config
from tests.support.page_server import serve_people
from tests.unit.label_queue.labeling import answer_orders, choose

OpenWindow = Callable[..., Awaitable[Visitor]]
HOSTILE = "<img src=x onerror=alert(1)>\u202e <script>alert(2)</script>"
SOUP = GoldTask(prompt="the soup was", candidates=("warm", "cold", "wet", "there"), answer=0)


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite"


@pytest.fixture
async def queue(ledger: Path) -> AsyncIterator[LabelQueue]:
    """Nearly all queries go to three labelers, so that they can agree."""
    config = make_config(
        total=200,
        initial=200,
        refits=1,
        warm=WarmConfig(every_labels=0),
        intake=IntakeConfig(),
        quality=QualityConfig(repeat_share=0.0),
        overlap_share=0.9,
        overlap_labelers=3,
    )
    schedule = LabelSchedule.of(config, num_episodes=100, mode="online")
    opened = SqlLedger.open(ledger, "run-1")
    queue = LabelQueue(opened, config, schedule, run_id="run-1", seed=1, clock=time.time)
    for name in ("ann", "bob", "cid"):
        await queue.owner.add_labeler(name)
    await answer_orders(queue)
    yield queue
    await queue.close()


@pytest.fixture
async def url(queue: LabelQueue) -> AsyncIterator[str]:
    async with serve_people(queue) as address:
        yield address


def person(olga: Visitor, name: str) -> Locator:
    found = olga.page.locator(".person-name", has_text=re.compile(f"^{re.escape(name)}$"))
    return olga.page.locator(".person").filter(has=found)


async def decide(olga: Visitor, button: str, reason: str | None = None) -> None:
    """Confirm what the dialog asks, with a reason where it wants one."""
    dialog = olga.page.locator("#decision")
    if reason is not None:
        await dialog.get_by_label("Why?").fill(reason)
    await dialog.get_by_role("button", name=button).click()
    await expect(dialog).to_be_hidden()


async def undo(olga: Visitor) -> None:
    await olga.page.get_by_role("button", name="Undo", exact=True).dblclick()
    await expect(olga.page.locator("#undo-text")).to_have_text("Undone.")


async def gold_in(queue: LabelQueue) -> tuple[GoldRow, ...]:
    return (await queue.owner.gold(offset=0, limit=100)).gold


# --- people --------------------------------------------------------------------------------------


async def test_a_role_is_changed_holds_at_once_and_is_undone(
    come_in: Enter, queue: LabelQueue, ledger: Path
) -> None:
    olga = await come_in()
    dan = await come_in("dan", "labeler")
    await expect(person(olga, "dan").locator(".role")).to_have_text("Labeler", timeout=30_000)
    await person(olga, "dan").get_by_role("button", name="Change role").click()
    await olga.page.locator("#decision").get_by_label("Role").select_option("observer")
    await decide(olga, "Change the role", "has labelled enough")
    await expect(person(olga, "dan").locator(".role")).to_have_text("Observer")
    await dan.page.goto(dan.url)
    await expect(dan.page).to_have_url(f"{dan.url}/owner")
    await undo(olga)
    await expect(person(olga, "dan").locator(".role")).to_have_text("Labeler")
    first, second = written(ledger, RoleChange)
    assert (first.actor, first.role, first.reason) == ("olga", "observer", "has labelled enough")
    assert (second.actor, second.role) == ("olga", "labeler")
    await dan.page.goto(f"{dan.url}/owner")
    await expect(dan.page.get_by_role("heading", name="For the run's owner")).to_be_visible()


async def test_a_link_is_made_for_an_observer_and_undone(
    come_in: Enter, queue: LabelQueue, ledger: Path
) -> None:
    olga = await come_in()
    await olga.page.get_by_role("button", name="Add a labeler").click()
    await olga.page.get_by_label("Name").fill("ove")
    await olga.page.locator("#decision").get_by_label("Role").select_option("observer")
    await olga.page.get_by_role("button", name="Make the link").click()
    await expect(olga.page.get_by_label("One-time link")).to_have_value(re.compile("/enter/"))
    await olga.page.get_by_role("button", name="Done").click()
    await expect(person(olga, "ove").locator(".role")).to_have_text("Observer")
    await expect(person(olga, "ove").locator("summary")).to_contain_text("2 ways in")
    await undo(olga)
    await expect(person(olga, "ove")).to_contain_text("Nothing lets them in.")
    own = [token for token in written(ledger, LabelerToken) if token.labeler_id == "ove"]
    assert {token.made_by for token in own} == {"olga"}
    ended = {each.token_sha256: each.actor for each in written(ledger, TokenRevocation)}
    assert {ended[token.token_sha256] for token in own} == {"olga"}


async def test_a_judge_is_let_in_and_whoever_has_labelled_is_refused(
    come_in: Enter, queue: LabelQueue, ledger: Path
) -> None:
    await choose(queue, "ann", 1)
    olga = await come_in()
    for name in ("dot", "ann"):
        await olga.page.get_by_role("button", name="Add a labeler").click()
        await olga.page.get_by_label("Name").fill(name)
        await olga.page.locator("#decision").get_by_label("Role").select_option("judge")
        await olga.page.get_by_role("button", name="Make the link").click()
        if name == "dot":
            await olga.page.get_by_role("button", name="Done").click()
    await expect(olga.page.locator("#decision")).to_contain_text("has given a label already")
    [appointed] = written(ledger, Appointed)
    assert (appointed.labeler_id, appointed.actor) == ("dot", "olga")


async def test_one_way_in_is_revoked_and_the_others_stay(come_in: Enter, queue: LabelQueue) -> None:
    olga = await come_in()
    dan = await come_in("dan", "labeler")
    await expect(person(olga, "dan")).to_be_visible(timeout=30_000)
    await person(olga, "dan").locator("summary").click()
    session = person(olga, "dan").get_by_role("button", name="Revoke this session of dan")
    await session.click()
    await decide(olga, "Revoke it", "left the laptop on a train")
    await expect(session).to_have_count(0)
    await expect(person(olga, "dan").locator(".ways li")).to_have_count(1)  # the token is left
    await dan.page.goto(dan.url)
    await expect(dan.page.get_by_role("heading", name="You are not signed in")).to_be_visible()


async def test_fifty_people_are_turned_by_pages_and_found_by_name(
    come_in: Enter, queue: LabelQueue
) -> None:
    for number in range(50):
        await queue.owner.add_labeler(f"p-{number:02}", "observer" if number == 7 else "labeler")
    olga = await come_in()
    names, pager = olga.page.locator(".person-name"), olga.page.locator("#people-pager")
    await expect(names).to_have_count(20)
    await expect(pager).to_contain_text("1 to 20 of 54")
    await pager.get_by_role("button", name="Next").click()
    await pager.get_by_role("button", name="Next").click()
    await expect(pager).to_contain_text("41 to 54 of 54")
    await expect(names.last).to_have_text("p-49")
    await olga.page.get_by_label("Search people").fill("P-1")
    await expect(names).to_have_text([f"p-1{n}" for n in range(10)])
    await olga.page.get_by_label("Search people").fill("")
    await olga.page.get_by_label("Show people").select_option("observer")
    await expect(names).to_have_text(["p-07"])


# --- gold ----------------------------------------------------------------------------------------


async def test_gold_is_written_edited_retired_and_all_of_it_undone(
    come_in: Enter, queue: LabelQueue, ledger: Path
) -> None:
    olga = await come_in()
    cards = olga.page.locator("#gold .gold-card")
    await olga.page.get_by_role("button", name="Write gold").click()
    await olga.page.get_by_label("Prompt", exact=True).fill("2 + 2 =")
    for number, text in enumerate(("4", "5", "22", "fish"), start=1):
        await olga.page.get_by_label(f"Response {number}").fill(text)
    await olga.page.get_by_label("Which one is right?").select_option("Response 2")
    await decide(olga, "Ask it from now on")
    await expect(cards.locator(".voted .disputed-text")).to_have_text(["5"])
    await expect(olga.page.locator("#gold-caption")).to_have_text("1 gold task asked now.")

    await cards.get_by_role("button", name="Edit").click()
    await expect(olga.page.get_by_label("Response 4")).to_have_value("fish")
    await olga.page.get_by_label("Which one is right?").select_option("Response 1")
    await decide(olga, "Ask the new version", "a slip")
    await expect(cards.locator(".voted .disputed-text")).to_have_text(["4"])
    await olga.page.get_by_label("Show gold").select_option("false")
    await expect(cards.locator(".voted .disputed-text")).to_have_text(["5"])
    await expect(cards).to_contain_text("by olga: “a slip”, another version in its place")
    await undo(olga)
    await expect(cards.locator(".voted .disputed-text")).to_have_text(["4"])

    await olga.page.get_by_label("Show gold").select_option("true")
    await expect(cards.locator(".voted .disputed-text")).to_have_text(["5"])
    await cards.get_by_role("button", name="Retire").click()
    await expect(olga.page.locator("#decision-text")).to_contain_text("It is the last gold")
    await decide(olga, "Retire it", "too easy")
    await expect(cards).to_have_count(0)
    await undo(olga)
    await expect(cards.locator(".voted .disputed-text")).to_have_text(["5"])
    decided = [e for e in events_written(ledger) if isinstance(e, GoldMade | GoldRetired)]
    made, retired = GoldMade, GoldRetired
    assert [type(e) for e in decided] == [made, made, retired, made, retired, retired, made]
    assert {event.actor for event in decided} == {"olga"}


async def test_what_people_agree_on_is_made_gold(come_in: Enter, queue: LabelQueue) -> None:
    for name in ("ann", "bob", "cid"):
        for _ in range(4):
            await choose(queue, name, 1)
    olga = await come_in()
    agreed = olga.page.locator("#agreements .gold-card")
    before = await queue.owner.agreements(offset=0, limit=100)
    await expect(agreed).to_have_count(before.total)
    best = before.queries[0]
    await expect(agreed.first).to_contain_text("All chose the same: ann, bob, cid")
    await agreed.first.get_by_role("button", name="Make gold").click()
    await decide(olga, "Make gold")
    await expect(agreed).to_have_count(before.total - 1)
    [row] = await gold_in(queue)
    assert [each.text for each in row.candidates] == [each.text for each in best.candidates]
    assert row.answer == row.candidates[1].candidate_id
    await undo(olga)
    await expect(agreed).to_have_count(before.total)


async def test_what_the_server_refuses_is_said_in_the_dialog(
    come_in: Enter, queue: LabelQueue
) -> None:
    olga = await come_in()
    await olga.page.get_by_role("button", name="Write gold").click()
    await olga.page.get_by_label("Prompt", exact=True).fill("2 + 2 =")
    await olga.page.locator("#decision").get_by_role("button", name="Ask it from now on").click()
    alert = olga.page.get_by_role("alert").filter(has_text="two are the same to who reads them")
    await expect(alert).to_be_visible()
    assert await gold_in(queue) == ()
    await olga.press("Escape")
    await person(olga, "olga").get_by_role("button", name="Change role").click()
    await olga.page.locator("#decision").get_by_label("Role").select_option("labeler")
    await olga.page.get_by_label("Why?").fill("x")
    await olga.page.get_by_role("button", name="Change the role").click()
    await expect(olga.page.locator("#decision-trouble")).to_contain_text("is the only owner")


async def test_what_somebody_wrote_in_gold_does_nothing(come_in: Enter, queue: LabelQueue) -> None:
    task = SOUP.model_copy(update={"prompt": HOSTILE, "candidates": (HOSTILE, "b", "c", "d")})
    row = await queue.owner.write_gold(task)
    olga = await come_in()
    card = olga.page.locator("#gold .gold-card")
    await expect(card.locator(".disputed-prompt")).to_contain_text("<img src=x onerror=alert(1)>")
    assert await card.locator("img, script").count() == 0
    assert await card.locator(".escape").count() == 2  # what would turn the text around is shown
    await card.get_by_role("button", name="Edit").click()
    await expect(olga.page.get_by_role("textbox", name="Response 1")).to_have_value(HOSTILE)
    await olga.press("Escape")
    await queue.owner.retire_gold(row.gold_id, HOSTILE)
    await olga.page.get_by_label("Show gold").select_option("false")
    await expect(card.locator(".gold-facts")).to_contain_text("<script>alert(2)</script>")
    assert olga.dialogs == []


# --- labelers side by side -----------------------------------------------------------------------


async def test_a_labelers_answers_are_read_beside_others_and_by_pages(
    come_in: Enter, queue: LabelQueue
) -> None:
    for number in range(12):
        for name in ("ann", "bob", "cid"):
            await answer_orders(queue)
            await choose(queue, name, int(name == "cid" and number % 2))
    olga = await come_in()
    await olga.page.get_by_role("button", name="Answers cid").click()
    cards, pager = olga.page.locator("#answers .gold-card"), olga.page.locator("#answers-pager")
    await expect(cards).to_have_count(10)
    await expect(cards.first.locator(".voted .voter")).to_have_text(["theirs"])
    await pager.get_by_role("button", name="Next").click()
    await expect(cards).to_have_count(2)
    await olga.page.get_by_label("Only where labelers differ").check()
    page = await queue.owner.answers_of("cid", offset=0, limit=100, only_disputed=True)
    await expect(cards).to_have_count(min(10, page.total))
    await expect(
        cards.first.locator(".column", has_not_text="theirs").locator(".voter")
    ).to_have_text([vote.labeler_id for vote in page.answers[0].others])
    assert await violations(olga.page) == []
    await olga.page.get_by_role("button", name="Close", exact=True).first.click()
    await olga.page.get_by_text("Who agrees with whom").click()
    rows = olga.page.locator("#matrix tr")
    await expect(rows.locator("th")).to_have_text(["ann", "bob", "cid"])
    matrix = await queue.owner.agreement(offset=0, limit=3)
    ann = matrix.rows[0].with_others[2]
    assert ann is not None
    await expect(rows.first.locator("td").nth(2)).to_have_text(f"{100 * ann.share:.0f}\xa0%")
    assert await violations(olga.page) == []


# --- an observer ---------------------------------------------------------------------------------


async def test_an_observer_sees_all_of_it_and_has_nothing_to_press(
    come_in: Enter, queue: LabelQueue
) -> None:
    await queue.owner.admit("owner", "owner")
    await queue.owner.write_gold(SOUP)
    for name in ("ann", "bob"):
        await choose(queue, name, 1)
    ove = await come_in("ove", "observer")
    await expect(ove.page).to_have_url(f"{ove.url}/owner")
    await expect(ove.page.get_by_text("You see this page as an observer.")).to_be_visible()
    await expect(ove.page.locator("#gold .gold-card")).to_have_count(1)
    await expect(person(ove, "ann")).to_be_visible()
    await person(ove, "ann").locator("summary").click()
    shown = {
        " ".join((await each.inner_text()).split())
        for each in await ove.page.locator("button:visible:not(.sort)").all()
        if await each.is_enabled()
    }
    assert shown == {"Leave", "Answers ann", "Answers bob", "Answers cid"}
    refused = await ove.page.evaluate(
        """async () => (await fetch("/api/v1/owner/cord/pull", {
            method: "POST",
            headers: {
                "Content-Type": "application/json",
                "X-Andon-CSRF": document.querySelector('meta[name="andon-csrf"]').content,
            },
            body: JSON.stringify({ reason: "x" }),
        })).status"""
    )
    assert refused == 403
    assert not (await queue.policy_loop.cord()).is_pulled


# --- for everybody -------------------------------------------------------------------------------


@LOOKS
async def test_axe_finds_nothing_in_either(
    come_in: Enter, queue: LabelQueue, size: tuple[int, int], dark: bool
) -> None:
    await queue.owner.write_gold(SOUP.model_copy(update={"prompt": HOSTILE}))
    retired = await queue.owner.write_gold(SOUP)
    await queue.owner.retire_gold(retired.gold_id, "too easy")
    for name in ("ann", "bob", "cid"):
        await choose(queue, name, 1)
    for number in range(25):
        await queue.owner.add_labeler(f"p-{number:02}")
    olga = await come_in(size=size, dark=dark)
    await olga.page.get_by_label("Show gold").select_option("")
    await expect(olga.page.locator("#gold .gold-card")).to_have_count(2)
    await person(olga, "ann").locator("summary").click()
    assert await violations(olga.page) == []
    await person(olga, "ann").get_by_role("button", name="Revoke this token").click()
    assert await violations(olga.page) == []
    await decide(olga, "Revoke it", "lost")
    await olga.page.get_by_role("button", name="Write gold").click()
    assert await violations(olga.page) == []


async def test_on_a_phone_nothing_is_wider_than_the_window(
    come_in: Enter, queue: LabelQueue
) -> None:
    await queue.owner.add_labeler("a-labeler-with-quite-a-long-name@example.org")
    await queue.owner.write_gold(SOUP.model_copy(update={"prompt": "long" * 200}))
    olga = await come_in(size=PHONE)
    await expect(olga.page.locator("#gold .gold-card")).to_have_count(1)
    for summary in await olga.page.locator(".person summary").all():
        await summary.click()
    assert await olga.page.evaluate("document.documentElement.scrollWidth") == PHONE[0]
