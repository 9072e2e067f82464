"""A labeler at work: every kind of task and answer, by keyboard alone unless said otherwise."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from label_queue.labeling.submissions import LabelSubmission
from tests.browser.conftest import PHONE, Enter
from tests.support.fake_people_queue import FakePeopleQueue
from tests.support.tasks import make_task


async def test_each_answer_by_its_key(people: FakePeopleQueue, enter: Enter) -> None:
    people.waiting = [make_task(number) for number in range(6)]
    ann = await enter()
    await ann.give("2", "+", "+", "+", "Enter")
    await ann.give("t", "Enter")
    await ann.give("b", "Enter")
    await ann.press("s")
    await ann.page.keyboard.type("not my field")
    await ann.give("Control+Enter")
    await ann.press("r", "Control+Enter")  # a report needs its reason
    await ann.page.keyboard.type("names a real person")
    await ann.give("Control+Enter")
    await expect(ann.page.locator("#saved")).to_have_text("Saved")
    chosen, tie, both_bad, skip, flag = await people.answered(5)
    assert (chosen.outcome, chosen.choice, chosen.strength) == ("choice", "a0-1", 3)
    assert [tie.outcome, both_bad.outcome] == ["tie", "both_bad"]
    assert (skip.outcome, skip.reason, skip.choice) == ("skip", "not my field", None)
    assert (flag.outcome, flag.reason) == ("flag", "names a real person")


async def test_a_ranking(people: FakePeopleQueue, enter: Enter) -> None:
    people.waiting = [make_task(0, kind="ranking"), make_task(1)]
    ann = await enter()
    await expect(ann.page.locator("#question")).to_contain_text("in order")
    await ann.press("3", "1", "Enter")
    await expect(ann.page.locator("#hint")).to_have_text("2 more to rank")
    await ann.press("2", "Backspace", "4", "2")
    await expect(ann.page.get_by_role("button", name="Place 4")).to_be_visible()
    await ann.give("Enter")
    [answer] = await people.answered(1)
    assert (answer.outcome, answer.choice) == ("ranking", None)
    assert answer.ranking == ("a0-2", "a0-0", "a0-3", "a0-1")


async def test_a_pair_by_mouse(people: FakePeopleQueue, enter: Enter) -> None:
    people.waiting = [make_task(0, kind="pair", texts=("yes", "no"))]
    ann = await enter()
    await expect(ann.page.get_by_role("heading", level=1)).to_have_text("Which response is better?")
    await ann.page.locator(".candidate").nth(1).click()
    await ann.page.get_by_role("radio", name="Much").check()
    await ann.page.get_by_role("button", name="Confirm").click()
    await expect(ann.page.get_by_role("heading", name="All caught up")).to_be_focused()
    [answer] = await people.answered(1)
    assert (answer.choice, answer.strength) == ("a0-1", 3)


async def test_enter_on_the_response_chosen_confirms_it(
    people: FakePeopleQueue, enter: Enter
) -> None:
    people.waiting = [make_task(0), make_task(1)]
    ann = await enter()
    await ann.page.get_by_role("button", name="Choose response 3").focus()
    await ann.press("Enter")
    await expect(ann.page.get_by_role("button", name="Chosen response 3")).to_be_focused()
    await ann.give("Enter")
    assert (await people.answered(1))[0].choice == "a0-2"


async def test_the_last_answer_can_be_changed(people: FakePeopleQueue, enter: Enter) -> None:
    people.waiting = [make_task(0), make_task(1)]
    ann = await enter()
    await ann.give("1", "Enter")
    await ann.give("u")
    await expect(ann.page.locator("#revision-banner")).to_be_visible()
    await expect(ann.page.get_by_role("button", name="Chosen response 1")).to_be_visible()
    await ann.give("Escape")
    await ann.give("u")
    await ann.give("4", "Enter")
    await expect(ann.page.locator("#saved")).to_have_text("Saved")
    assert [(s.revision, s.choice) for s in await people.answered(2)] == [(0, "a0-0"), (1, "a0-3")]
    held = (await people.held_tasks("ann")).tasks
    assert [task.assignment_id for task in held] == ["a1"]


async def test_undo_pressed_twice_undoes_once_and_the_task_on_the_page_comes_back(
    people: FakePeopleQueue, enter: Enter
) -> None:
    people.waiting = [make_task(0), make_task(1)]
    ann = await enter()
    await ann.give("1", "Enter")
    await people.answered(1)
    await expect(ann.page.locator("#bar .undo, #task .undo").first).to_be_enabled()
    twice = "document.querySelectorAll('.undo').forEach((each) => { each.click(); each.click(); })"
    await ann.page.evaluate(twice)
    await expect(ann.page.locator("#task")).to_have_attribute("data-showing", "a0:1")
    await ann.press("Escape")
    await expect(ann.page.locator("#task")).to_have_attribute("data-showing", "a1:0")
    await expect(ann.page.locator("#revision-banner")).to_be_hidden()


async def test_marks_count_characters_as_the_server_does(
    people: FakePeopleQueue, enter: Enter
) -> None:
    people.waiting = [make_task(0, texts=(" 🦊🦊 fine soup, kind people", "no")), make_task(1)]
    ann = await enter()
    await ann.press("m", "ArrowRight", "ArrowRight", "ArrowRight")  # two foxes, fine, soup
    await expect(ann.page.locator("#announcer")).to_have_text("soup")
    await ann.press("Shift+ArrowRight", "+")  # … kind
    await ann.press("ArrowRight", "-", "ArrowDown", "+", "Delete", "Escape")
    marks = ann.page.get_by_role("list", name="Marks in response 1").get_by_role("listitem")
    await expect(marks).to_have_text(
        ["Goodsoup, kindRemove the mark on soup, kind", "BadpeopleRemove the mark on people"]
    )
    await ann.give("1", "Enter")
    text = " 🦊🦊 fine soup, kind people"
    spans = (await people.answered(1))[0].spans
    assert spans is not None
    assert [(text[s.start : s.end], s.mark, s.candidate_id) for s in spans] == [
        ("soup, kind", "good", "a0-0"),
        ("people", "bad", "a0-0"),
    ]


async def test_selected_words_are_marked_with_the_mouse(
    people: FakePeopleQueue, enter: Enter
) -> None:
    people.waiting = [make_task(0, texts=("🦊 good, bad", "no")), make_task(1)]
    ann = await enter()
    await ann.page.locator("#text-1 .inert").dblclick(position={"x": 45, "y": 12})
    await ann.page.get_by_role("toolbar").get_by_role("button", name="Good").click()
    await expect(ann.page.get_by_role("list", name="Marks in response 1")).to_contain_text("good")
    await ann.give("1", "Enter")
    spans = (await people.answered(1))[0].spans
    assert spans is not None
    assert (spans[0].start, spans[0].end, spans[0].mark) == (2, 6, "good")


async def test_focus_and_news_go_to_the_next_task(people: FakePeopleQueue, enter: Enter) -> None:
    people.waiting = [make_task(0), make_task(1)]
    ann = await enter()
    await expect(ann.page.locator("#question")).to_be_focused()
    await ann.page.get_by_role("button", name="Choose response 2").click()
    await ann.press("1")
    await expect(ann.page.locator("#announcer")).to_contain_text("Chosen")
    await ann.page.get_by_role("button", name="Confirm").click()
    await expect(ann.page.locator("#question")).to_be_focused()
    await expect(ann.page.locator("#announcer")).to_have_text("New task.")


async def test_an_undone_report_keeps_its_reason_until_it_is_another_answer(
    people: FakePeopleQueue, enter: Enter
) -> None:
    people.waiting = [make_task(0), make_task(1)]
    ann = await enter()
    await expect(ann.page.locator("#task")).to_be_visible()
    await ann.press("r")
    await ann.page.keyboard.type("names a person")
    await ann.press("Control+Enter")
    await people.answered(1)
    await ann.give("u")
    await ann.give("Enter")
    await people.answered(2)
    await ann.give("u")
    await ann.press("r")
    await expect(ann.page.locator("#reason-field")).to_have_value("names a person")
    await ann.press("Escape")
    await ann.give("2", "Enter")
    answers = await people.answered(3)
    assert [(answer.outcome, answer.reason) for answer in answers] == [
        ("flag", "names a person"),
        ("flag", "names a person"),
        ("choice", None),
    ]


async def test_a_comment_that_came_by_the_api_stays_with_its_outcome(
    people: FakePeopleQueue, enter: Enter
) -> None:
    people.waiting = [make_task(0), make_task(1)]
    task = await people.next_task("ann", 0.0)
    assert task is not None
    commented = LabelSubmission(assignment_id="a0", outcome="tie", comment="both are short")
    await people.submit("ann", [commented])
    ann = await enter()
    await ann.give("u")
    await ann.give("Enter")
    assert (await people.answered(2))[1].comment == "both are short"


async def test_times_are_sent_and_idling_is_not_work(people: FakePeopleQueue, enter: Enter) -> None:
    people.waiting = [make_task(0), make_task(1)]
    ann = await enter(has_clock=True)
    await expect(ann.page.locator("#task")).to_be_visible()
    await ann.page.clock.fast_forward(7_000)
    await ann.press("1")
    await ann.page.clock.fast_forward(600_000)
    await ann.give("Enter")
    [answer] = await people.answered(1)
    assert answer.active_ms is not None
    assert 67_000 <= answer.active_ms < 75_000  # of the ten idle minutes one counts
    assert answer.shown_at is not None
    assert answer.first_action_at is not None
    assert answer.submitted_at is not None
    assert 7 <= answer.first_action_at - answer.shown_at < 12
    assert answer.submitted_at - answer.first_action_at >= 600


async def test_single_keys_can_be_switched_off(people: FakePeopleQueue, enter: Enter) -> None:
    people.waiting = [make_task(0)]
    ann = await enter()
    await ann.press("?")
    await ann.page.get_by_label("Single keys act").uncheck()
    await ann.press("Escape", "1")
    await expect(ann.page.get_by_role("button", name="Choose response 1")).to_be_visible()
    await ann.reload()
    await ann.press("1")
    await expect(ann.page.get_by_role("button", name="Choose response 1")).to_be_visible()


async def test_guidelines_open_and_close(people: FakePeopleQueue, enter: Enter) -> None:
    people.guidelines = "Prefer what is **true**."
    people.waiting = [make_task(0)]
    ann = await enter()
    panel = ann.page.get_by_role("complementary", name="Guidelines")
    await expect(panel.locator("strong")).to_have_text("true")
    await ann.press("g")
    await expect(panel).to_be_hidden()
    await ann.reload()
    await expect(panel).to_be_hidden()
    await ann.press("g")
    await expect(panel).to_be_visible()


async def test_somebody_elses_pull_of_the_cord_is_seen(
    people: FakePeopleQueue, enter: Enter
) -> None:
    people.waiting = [make_task(0)]
    ann = await enter()
    await expect(ann.page.locator("#task")).to_be_visible()
    await people.pull_cord("bob", "it insults people")
    await ann.reload()
    banner = ann.page.get_by_role("alert")
    await expect(banner).to_contain_text("The line is stopped. bob: “it insults people”")
    await expect(ann.page.locator("#open-cord")).to_be_disabled()


@pytest.mark.parametrize("kind", ["best_of_k", "ranking"])
async def test_one_column_on_a_phone(people: FakePeopleQueue, enter: Enter, kind: str) -> None:
    people.waiting = [make_task(0, kind="ranking" if kind == "ranking" else "best_of_k")]
    ann = await enter(size=PHONE)
    cards = ann.page.locator(".candidate")
    await expect(cards).to_have_count(4)
    boxes = [await cards.nth(i).bounding_box() for i in range(4)]
    lefts = {box["x"] for box in boxes if box is not None}
    assert len(lefts) == 1
    width = await ann.page.evaluate("document.documentElement.scrollWidth")
    assert width == PHONE[0]
    confirm = await ann.page.get_by_role("button", name="Confirm").bounding_box()
    assert confirm is not None
    assert confirm["y"] + confirm["height"] <= PHONE[1]
    assert confirm["height"] >= 44
