"""People at the real pages over the real queue and its ledger on disk."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import expect

from label_queue.config import IntakeConfig, WarmConfig
from label_queue.ledger.sql import SqlLedger
from label_queue.queue import LabelQueue
from label_queue.schedule import LabelSchedule
from protocol.labels import Assignment, LabelChange, Revised, Submitted
from tests.browser.conftest import Enter
from tests.support.beside import events_written, written
from tests.support.labels import make_config, make_reward
from tests.support.page_server import serve_people
from tests.unit.label_queue.labeling import answer_orders, label


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite"


@pytest.fixture
async def queue(ledger: Path) -> AsyncIterator[LabelQueue]:
    """Forty labels wanted, ten of them before RL; drafts come for every order."""
    config = make_config(warm=WarmConfig(every_labels=0), intake=IntakeConfig())
    schedule = LabelSchedule.of(config, num_episodes=100, mode="online")
    opened = SqlLedger.open(ledger, "run-1")
    queue = LabelQueue(opened, config, schedule, run_id="run-1", seed=1, clock=time.time)
    await answer_orders(queue)
    yield queue
    await queue.close()


@pytest.fixture
async def url(queue: LabelQueue) -> AsyncIterator[str]:
    async with serve_people(queue) as address:
        yield address


async def test_ten_tasks_by_keyboard_with_a_refresh_an_undo_and_the_cord(
    come_in: Enter, queue: LabelQueue, ledger: Path
) -> None:
    ann = await come_in("ann", "labeler")
    for number in range(4):
        await ann.give(str(1 + number % 4), "Enter")
    before = await ann.page.locator("#task").get_attribute("data-showing")
    await ann.reload()
    await expect(ann.page.locator("#task")).to_have_attribute("data-showing", before or "")
    for _ in range(3):
        await ann.give("2", "+", "Enter")
    await ann.give("u")
    await ann.give("4", "Enter")
    for key in ("t", "b", "1"):
        await ann.give(key, "Enter")
    await ann.press("p")
    await ann.page.keyboard.type("it repeats itself")
    await ann.press("Control+Enter")
    await expect(ann.page.get_by_role("alert")).to_contain_text("ann: “it repeats itself”")
    await expect(ann.page.locator("#progress")).to_have_text("10 today · 10 in all")

    events = [event for event in events_written(ledger) if isinstance(event, LabelChange)]
    assert {event.source.system for event in events} == {"page"}
    assert [type(event) for event in events].count(Submitted) == 10
    [revised] = [event for event in events if isinstance(event, Revised)]
    shown = {a.assignment_id: a.shown_order for a in written(ledger, Assignment)}
    assert revised.choice == shown[revised.assignment_id][3]
    assert len({event.label_id for event in events}) == 10
    assert {event.labeler_id for event in events} == {"ann"}
    assert len(shown) <= 10 + 3  # a refresh leased nothing anew
    cord = await queue.policy_loop.cord()
    assert (cord.is_pulled, cord.pulled_by, cord.reason) == (True, "ann", "it repeats itself")


async def test_the_owner_sees_who_is_active_as_the_metric_counts_them(
    come_in: Enter, queue: LabelQueue
) -> None:
    for name in ("absent", "ann"):
        await queue.owner.admit(name, "labeler")
    await label(queue, 1, "ann")
    olga = await come_in()
    active = olga.page.get_by_role("row").filter(has=olga.page.get_by_text("active now"))
    await expect(active.locator(".name")).to_have_text(["ann"])
    await come_in("bob", "labeler")  # a task comes to his page
    await expect(active.locator(".name")).to_have_text(["ann", "bob"], timeout=30_000)
    await expect(olga.page.locator("#labelers-active")).to_have_text("2 active now, of 3 labelers")
    assert (await queue.policy_loop.stats())["labelers/active"] == 2


async def test_an_exclusion_is_in_the_next_reward_version(
    come_in: Enter, queue: LabelQueue
) -> None:
    for name in ("ann", "bob"):
        await queue.owner.admit(name, "labeler")
        await label(queue, 5, name)
    first = await queue.policy_loop.next_refit()
    await queue.policy_loop.reward_served(make_reward(1, ledger_seq=first.ledger_seq))
    assert {comparison.labeler_id for comparison in first.comparisons} == {"ann", "bob"}

    olga = await come_in("olga", "owner")
    await expect(olga.page.locator(".tile", has_text="Reward").locator(".value")).to_have_text("v1")
    await olga.page.get_by_role("button", name="Exclude bob").click()
    changes = olga.page.locator(".changes dd")
    await expect(changes.nth(0)).to_have_text("5 leave")
    await expect(changes.nth(2)).to_have_text("v1")
    await expect(changes.nth(4)).to_have_text("from scratch, at once")
    await olga.page.get_by_label("Why?").fill("clicks at random")
    await olga.page.get_by_role("dialog").get_by_role("button", name="Exclude bob").click()
    state = olga.page.get_by_role("row").filter(has_text="bob").locator(".state")
    await expect(state).to_have_text("Excluded")

    second = await queue.policy_loop.next_refit()
    assert second.is_forced
    assert {comparison.labeler_id for comparison in second.comparisons} == {"ann"}
    await queue.policy_loop.reward_served(make_reward(2, ledger_seq=second.ledger_seq))
    await expect(olga.page.locator(".tile", has_text="Reward").locator(".value")).to_have_text("v2")


async def test_whoever_becomes_a_judge_in_the_midst_of_a_task_goes_on(
    come_in: Enter, queue: LabelQueue
) -> None:
    bob = await come_in("bob", "labeler")
    held = await queue.people.held_tasks("bob")
    assert held.tasks
    await queue.owner.admit("bob", judges=True)
    await bob.press("1", "Enter")
    await expect(bob.page.locator("#refused")).to_contain_text("you judge this run")
    await expect(bob.page.locator("#not-taken")).to_contain_text("1 answer that was not taken")
    await expect(bob.page.locator("#saved")).to_have_text("")
    kept = await bob.page.evaluate("Object.keys(localStorage)")
    assert [key.split(":")[0] for key in kept] == ["andon-not-taken"]


async def test_a_run_that_ends_under_an_answer_says_so_and_lets_it_be_downloaded(
    come_in: Enter, queue: LabelQueue
) -> None:
    ann = await come_in("ann", "labeler")
    await queue.close()
    await ann.press("1", "Enter")
    await expect(ann.page.get_by_role("heading", name="The run is over")).to_be_focused()
    await expect(ann.page.locator("#not-taken")).to_contain_text("1 answer that was not taken")


async def test_a_comparison_in_arabic_is_in_the_ledger(
    come_in: Enter, queue: LabelQueue, ledger: Path
) -> None:
    ann = await come_in("ann", "labeler", locale="ar")
    await expect(ann.page.locator("html[lang=ar][dir=rtl]")).to_have_count(1)
    await ann.give("1", "+", "Enter")
    await expect(ann.page.locator("#saved")).to_have_text("حُفظ")
    [event] = written(ledger, Submitted)
    assert (event.labeler_id, event.outcome, event.strength) == ("ann", "choice", 1)
