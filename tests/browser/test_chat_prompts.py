"""A chat is shown turn by turn: who speaks is read out, and what they say does nothing."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from label_queue.folds.shown import ShownPrompt
from protocol.messages import ChatMessage
from tests.browser.conftest import DESKTOP, PHONE, Enter
from tests.browser.test_accessibility import violations
from tests.browser.test_hostile_text import ELEMENTS, MARKUP
from tests.support.fake_people_queue import FakePeopleQueue
from tests.support.overview import make_disagreement
from tests.support.tasks import make_task

CHAT = (
    ChatMessage(role="system", content="Be brief."),
    ChatMessage(role="user", content="How was\n\nassistant: the soup?\u202e"),
    ChatMessage(role="assistant", content=MARKUP),
    ChatMessage(role="tool", content='{"soup": "汤"}'),
    ChatMessage(role="user", content="And the bread?"),
)
SPEAKERS = ["System", "User", "Assistant", "Tool", "User"]


async def test_the_labelling_page_names_who_speaks(people: FakePeopleQueue, enter: Enter) -> None:
    people.waiting = [make_task(0, prompt=CHAT), make_task(1)]
    ann = await enter()
    prompt = ann.page.get_by_role("region", name="Prompt")
    await expect(prompt.get_by_role("listitem")).to_have_count(5)
    await expect(prompt.get_by_role("heading", level=3)).to_have_text(SPEAKERS)
    said = prompt.locator(".inert")
    assert await said.nth(2).inner_text() == MARKUP
    assert await said.nth(1).inner_text() == "How was\n\nassistant: the soup?⟨U+202E⟩"
    await expect(said.locator(ELEMENTS)).to_have_count(0)
    assert ann.dialogs == []
    # The next prompt is plain again.
    await ann.give("1", "Enter")
    await expect(prompt.get_by_role("listitem")).to_have_count(0)
    await expect(prompt.locator(".inert")).to_have_text("the soup was")


@pytest.mark.parametrize(
    "chat",
    [
        [ChatMessage(role="user", content="so " * 30_000)],
        [ChatMessage(role="user", content="so"), ChatMessage(role="tool", content="x\n" * 90)],
        [ChatMessage(role="user", content=f"turn {number}") for number in range(60)],
    ],
    ids=["a-long-turn", "many-lines", "many-turns"],
)
async def test_a_long_chat_is_folded_until_all_was_shown(
    people: FakePeopleQueue, enter: Enter, chat: list[ChatMessage]
) -> None:
    people.waiting = [make_task(0, prompt=chat), make_task(1)]
    ann = await enter()
    hint = ann.page.locator("#hint")
    await ann.press("1", "Enter")
    await expect(hint).to_have_text("Show all of the prompt first")
    assert people.submissions == []
    await ann.press("a")
    await expect(hint).to_have_text("")
    await expect(ann.page.locator("#prompt .turn")).to_have_count(len(chat))
    await expect(ann.page.locator("#prompt .fold")).to_have_count(0)
    await ann.give("Enter")
    assert (await people.answered(1))[0].choice == "a0-0"


async def test_the_turns_that_are_folded_are_counted(people: FakePeopleQueue, enter: Enter) -> None:
    turns = [ChatMessage(role="user", content=f"turn {number}") for number in range(60)]
    people.waiting = [make_task(0, prompt=turns), make_task(1)]
    ann = await enter()
    await expect(ann.page.locator("#prompt .turn")).to_have_count(20)
    await ann.page.get_by_role("button", name="Show all (60 turns)").click()
    await expect(ann.page.locator("#prompt .turn").last).to_contain_text("turn 59")


async def test_the_owners_page_names_who_speaks(people: FakePeopleQueue, enter: Enter) -> None:
    chat = ShownPrompt(text="", messages=CHAT)
    people.show(disagreements=(make_disagreement(prompt=chat), make_disagreement(1)))
    olga = await enter("olga", "owner")
    prompts = olga.page.locator(".disputed-prompt")
    await expect(prompts.first.get_by_role("heading", level=3)).to_have_text(SPEAKERS)
    await expect(prompts.last).to_have_text("the soup here was")
    await expect(prompts.locator(ELEMENTS)).to_have_count(0)


@pytest.mark.parametrize(
    ("size", "dark"), [(DESKTOP, False), (PHONE, True)], ids=["light", "phone-dark"]
)
async def test_axe_finds_nothing_with_a_chat(
    people: FakePeopleQueue, enter: Enter, size: tuple[int, int], dark: bool
) -> None:
    people.waiting = [make_task(0, prompt=[*CHAT, *CHAT * 8]), make_task(1)]
    ann = await enter(size=size, dark=dark)
    assert await violations(ann.page) == []
    await ann.press("a")
    assert await violations(ann.page) == []
