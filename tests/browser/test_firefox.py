"""The pages in Firefox: what differs between browsers, keys, focus, selection, tabs, storage.

What the pages do is tried in Chromium, in the other modules; here the main ways are gone again.
Where Firefox is missing these tests are skipped; with ANDON_REQUIRE_BROWSER=1 that is an error.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from label_queue.ledger.records import Role
from tests.support.fake_people_queue import FakePeopleQueue
from tests.support.firefox import NAMES, Firefox, find_firefox
from tests.support.needed import needed
from tests.support.page_server import serve_people
from tests.support.tasks import make_task

LAPTOP_OPENED = "document.dispatchEvent(new Event('visibilitychange'))"
"""What a page hears once somebody looks at it again."""

# The driver knocks at Firefox until it opens, and leaves it to Python to close what it knocked by.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")


@pytest.fixture
async def firefox(tmp_path: Path) -> AsyncIterator[Firefox]:
    """Firefox; at the end no page of its may have met an error."""
    missing = f"no Firefox on PATH ({', '.join(NAMES)}); `apt-get install firefox-esr` gives one"
    path = needed(find_firefox(), "ANDON_REQUIRE_BROWSER", missing)
    browser = Firefox(path, tmp_path / "firefox.log")
    await browser.start()
    try:
        yield browser
        assert await browser.errors() == []
    finally:
        await browser.stop()


async def enter(
    firefox: Firefox, url: str, people: FakePeopleQueue, name: str = "ann", role: Role = "labeler"
) -> None:
    """Let somebody in by a one-time link."""
    admission = await people.owner.admit(name, role)
    await firefox.go(url + admission.link)
    await firefox.click("button")


async def showing(firefox: Firefox, task: str) -> None:
    """Wait until a task is on the page, e.g. "a1:0"."""
    await firefox.has(f'#task[data-showing="{task}"]')


async def hold_three(firefox: Firefox, people: FakePeopleQueue, url: str) -> None:
    """Have somebody come in who holds three tasks, the first of them on the page."""
    people.waiting = [make_task(number) for number in range(3)]
    await enter(firefox, url, people)
    await showing(firefox, "a0:0")
    await people.given_out(3)


async def hold_three_of_a_server_that_goes(firefox: Firefox, people: FakePeopleQueue) -> int:
    """Have somebody hold three tasks, and the server go away; return its port."""
    async with serve_people(people) as url:
        await hold_three(firefox, people, url)
    port = urlsplit(url).port
    assert port is not None
    return port


async def test_a_labeler_works_by_keys(firefox: Firefox, people: FakePeopleQueue, url: str) -> None:
    people.waiting = [
        make_task(0),
        make_task(1),
        make_task(2),
        make_task(3, kind="ranking"),
        make_task(4),
    ]
    await enter(firefox, url, people)
    await showing(firefox, "a0:0")
    await firefox.press("2", "+", "Enter")
    await showing(firefox, "a1:0")
    await firefox.press("t", "Enter")
    await showing(firefox, "a2:0")
    await firefox.press("s", *"not my field", "Control+Enter")
    await showing(firefox, "a3:0")
    await firefox.press("3", "1", "Backspace", "4", "2", "1", "Enter")
    await showing(firefox, "a4:0")
    await firefox.press("u")
    await firefox.has("#revision-banner")
    await firefox.press("Escape")
    await showing(firefox, "a4:0")
    await firefox.shows("#saved", "Saved")
    chosen, tie, skip, ranking = await people.answered(4)
    assert (chosen.outcome, chosen.choice) == ("choice", "a0-1")
    assert tie.outcome == "tie"
    assert (skip.outcome, skip.reason) == ("skip", "not my field")
    assert ranking.ranking == ("a3-2", "a3-3", "a3-1", "a3-0")


async def test_words_are_marked_with_the_mouse_and_a_pair_is_chosen(
    firefox: Firefox, people: FakePeopleQueue, url: str
) -> None:
    people.waiting = [make_task(0, kind="pair", texts=("🦊 good, bad", "no")), make_task(1)]
    await enter(firefox, url, people)
    await showing(firefox, "a0:0")
    await firefox.double_click_word("#text-1 .inert", "good")
    await firefox.click('[role="toolbar"] button')
    await firefox.shows('[aria-label="Marks in response 1"] li', "good")
    await firefox.click(".candidate", 1)
    await firefox.press("Enter")
    await showing(firefox, "a1:0")
    [answer] = await people.answered(1)
    assert answer.choice == "a0-1"
    assert answer.spans is not None
    assert [(s.start, s.end, s.mark) for s in answer.spans] == [(2, 6, "good")]


async def test_an_answer_given_while_the_server_is_away_is_kept_and_sent_once(
    firefox: Firefox, people: FakePeopleQueue
) -> None:
    port = await hold_three_of_a_server_that_goes(firefox, people)
    await firefox.press("2", "Enter")
    await showing(firefox, "a1:0")
    await firefox.shows("#saved", "1 answer is kept here")
    assert people.submissions == []
    async with serve_people(people, port=port):
        await firefox.reload()  # a laptop that was closed: the session is there, and the answer
        await showing(firefox, "a1:0")
        await firefox.shows("#saved", "Saved")
        assert [answer.choice for answer in await people.answered(1)] == ["a0-1"]


async def test_an_answer_outlives_the_tab_in_which_it_was_given(
    firefox: Firefox, people: FakePeopleQueue
) -> None:
    port = await hold_three_of_a_server_that_goes(firefox, people)
    await firefox.press("2", "Enter")
    await firefox.shows("#saved", "1 answer is kept here")
    other = await firefox.open_tab()
    await firefox.close_tab()
    await firefox.to_tab(other)
    async with serve_people(people, port=port) as url:
        await firefox.go(url)
        await firefox.shows("#saved", "Saved")
    assert [answer.choice for answer in people.submissions] == ["a0-1"]


async def test_leases_that_ran_out_while_somebody_read_leave_the_task_that_is_read(
    firefox: Firefox, people: FakePeopleQueue, url: str
) -> None:
    await hold_three(firefox, people, url)
    people.given_to_others = {"a0", "a1"}
    while "a2" not in people.heartbeats:  # it may be on its way to the page yet
        await firefox.run(LAPTOP_OPENED)
        await asyncio.sleep(0.1)
    await showing(firefox, "a0:0")
    await firefox.press("1", "Enter")
    await showing(firefox, "a2:0")
    assert [answer.assignment_id for answer in await people.answered(1)] == ["a0"]


async def test_what_two_tabs_answer_counts_once_and_the_later_is_told(
    firefox: Firefox, people: FakePeopleQueue, url: str
) -> None:
    people.waiting = [make_task(number) for number in range(8)]
    await enter(firefox, url, people)
    await showing(firefox, "a0:0")
    [first] = await firefox.tabs()
    second = await firefox.open_tab()
    await firefox.to_tab(second)
    await firefox.go(url)
    await showing(firefox, "a0:0")
    await firefox.press("1", "Enter")
    await showing(firefox, "a1:0")
    await firefox.to_tab(first)
    await firefox.press("2", "Enter")
    await showing(firefox, "a1:0")
    await firefox.shows("#refused", "An answer was not taken")
    await firefox.press("3", "Enter")
    await firefox.shows("#saved", "Saved")
    given = await people.answered(2)
    assert [(a.assignment_id, a.choice) for a in given] == [("a0", "a0-0"), ("a1", "a1-2")]


async def test_a_session_that_ended_keeps_the_answer_for_the_next(
    firefox: Firefox, people: FakePeopleQueue
) -> None:
    port = await hold_three_of_a_server_that_goes(firefox, people)
    await people.owner.revoke("ann", "lost laptop")
    await firefox.press("3", "Enter")  # before the page can have heard of it
    await firefox.shows("#saved", "1 answer is kept here")
    async with serve_people(people, port=port) as url:
        await firefox.shows("main", "Your session has ended")
        assert people.submissions == []
        await enter(firefox, url, people)
        await firefox.shows("#saved", "Saved")
    assert [answer.choice for answer in people.submissions] == ["a0-2"]


async def test_the_owner_pulls_the_cord(
    firefox: Firefox, people: FakePeopleQueue, url: str
) -> None:
    await enter(firefox, url, people, "olga", "owner")
    await firefox.go(url + "/owner")
    await firefox.shows("#cord-text", "Now training.")
    await firefox.click("#pull")
    await firefox.has("#decision-why")
    await firefox.click("#decision-why")
    await firefox.press(*"it repeats itself")
    await firefox.click("#decision-confirm")
    await firefox.shows("#cord-text", "“it repeats itself”, just now.")
