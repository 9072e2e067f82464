"""Gold in the owner's hands: what each decision changes, live and after a restart."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from label_queue.config import LabelsConfig, QualityConfig
from label_queue.labeling.submissions import LabelSubmission
from label_queue.labeling.tasks import Task
from label_queue.oversight.gold import GoldEdit
from label_queue.oversight.gold_rows import GoldRow
from label_queue.quality.gold_tasks import GoldTask
from label_queue.quality.standing import Standing
from label_queue.queue import LabelQueue
from protocol.errors import InvalidLabel, LabelConflict, UnknownTask
from protocol.labels import ComparisonQuery, GoldMade, GoldRetired, LabelEvent
from protocol.messages import ChatMessage
from tests.support.canonical_json import dataset_bytes
from tests.support.labels import NODE, ManualClock, make_config, make_draft
from tests.support.memory_ledger import MemoryLedger
from tests.support.messages import make_prompt
from tests.unit.label_queue.conftest import MakeQueue
from tests.unit.label_queue.labeling import answer_orders, choose

SOUP = GoldTask(prompt="the soup was", candidates=("warm", "cold", "wet", "there"), answer=0)
RICE = GoldTask(prompt="the rice was", candidates=("dry", "soft", "old", "here"), answer=1)


def config_with(share_first: float = 0.99, **gold: object) -> LabelsConfig:
    quality = QualityConfig.model_validate(
        {"gold": {"share_first": share_first, **gold}, "repeat_share": 0.0}
    )
    return make_config(total=2_000, initial=2_000, ahead=40, quality=quality)


@pytest.fixture
async def queue(make_queue: MakeQueue) -> LabelQueue:
    """Nearly all tasks are gold, where there is any."""
    queue = make_queue(config_with())
    await answer_orders(queue)
    return queue


def gold_events(ledger: MemoryLedger) -> list[LabelEvent]:
    return [event for event in ledger.events() if isinstance(event, GoldMade | GoldRetired)]


def query_of(queue: LabelQueue, task: Task) -> ComparisonQuery:
    board = queue.state.board
    return board.queries[board.assignments[task.assignment_id].query_id]


async def take(queue: LabelQueue, labeler_id: str = "ann") -> Task:
    task = await queue.people.next_task(labeler_id, 0.0)
    assert task is not None
    return task


async def take_gold(queue: LabelQueue, labeler_id: str = "ann") -> Task:
    """Take tasks until one is gold."""
    for _ in range(30):
        task = await take(queue, labeler_id)
        if query_of(queue, task).purpose == "gold":
            return task
    raise AssertionError("no gold among thirty tasks")


async def answer(
    queue: LabelQueue, task: Task, labeler_id: str, *, right: bool, **more: Any
) -> None:
    query = query_of(queue, task)
    choices = [each.candidate_id for each in query.candidates]
    best = query.gold_answer or choices[0]
    wrong = next(name for name in choices if name != best)
    await queue.people.submit(
        labeler_id,
        [
            LabelSubmission(
                assignment_id=task.assignment_id,
                outcome="choice",
                choice=best if right else wrong,
                **more,
            )
        ],
    )


def standing(queue: LabelQueue, labeler_id: str = "ann") -> Standing:
    return queue.state.history.standings[labeler_id]


def told(queue: LabelQueue, gold_id: str) -> GoldRow:
    return next(each for each in shown(queue) if each.gold_id == gold_id)


def shown(queue: LabelQueue, is_asked: bool | None = None) -> tuple[GoldRow, ...]:
    return queue.owner._gold.page(offset=0, limit=100, is_asked=is_asked).gold


def is_same(queue: LabelQueue, other: LabelQueue) -> None:
    """Assert that a queue and one restarted on its ledger have the same present."""
    live, again = queue.state, other.state
    assert live.history.training == again.history.training
    names = {name for name, _ in live.history.standings.items()} | {"newcomer"}
    for name in names:
        assert live.history.standings[name] == again.history.standings[name]
    assert shown(queue) == shown(other)
    seq = live.history.last_seq
    quality = QualityConfig()
    views = [dataset_bytes(each.view().dataset(seq, quality)) for each in (live, again)]
    assert views[0] == views[1]


# --- made and written ---------------------------------------------------------------------------


async def test_written_gold_is_asked_and_says_who_made_it(
    queue: LabelQueue, ledger: MemoryLedger
) -> None:
    row = await queue.owner.write_gold(SOUP, actor="olga")
    assert (row.is_asked, row.origin, row.made_by) == (True, "written", "olga")
    assert [each.text for each in row.candidates] == list(SOUP.candidates)
    assert row.answer == row.candidates[0].candidate_id
    task = await take_gold(queue)
    assert query_of(queue, task).repeat_of == row.gold_id
    [made] = gold_events(ledger)
    assert isinstance(made, GoldMade)
    assert (made.query_id, made.actor, made.source.system) == (row.gold_id, "olga", "owner")


async def test_written_gold_may_ask_about_a_chat(queue: LabelQueue) -> None:
    turns = (
        ChatMessage(role="system", content="Be brief."),
        ChatMessage(role="user", content="Hi"),
    )
    row = await queue.owner.write_gold(SOUP.model_copy(update={"prompt": turns}))
    assert (row.prompt.text, row.prompt.messages) == ("", turns)
    task = await take_gold(queue)
    assert task.prompt.messages == turns


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"candidates": ("a", "b")}, "candidates"),
        ({"candidates": ("a", "b", "c", "a ")}, "candidates"),
        ({"answer": 4}, "answer"),
    ],
)
async def test_what_no_query_of_the_run_could_be_is_refused(
    queue: LabelQueue, ledger: MemoryLedger, changes: dict[str, object], field: str
) -> None:
    with pytest.raises(InvalidLabel) as refused:
        await queue.owner.write_gold(SOUP.model_copy(update=changes))
    assert refused.value.field == field
    name = (await queue.owner.write_gold(SOUP)).gold_id
    answer = changes.get("answer", 0)
    edit = GoldEdit(answer=answer, candidates=changes.get("candidates"))  # type: ignore[arg-type]
    with pytest.raises(InvalidLabel) as refused:
        await queue.owner.edit_gold(name, edit, "x")
    assert refused.value.field == field
    assert len(gold_events(ledger)) == 1


async def test_gold_nobody_knows_is_refused(queue: LabelQueue) -> None:
    acts: tuple[Awaitable[GoldRow], ...] = (
        queue.owner.retire_gold("g", "x"),
        queue.owner.bring_back_gold("g", "x"),
        queue.owner.edit_gold("g", GoldEdit(answer=0), "x"),
    )
    for act in acts:
        with pytest.raises(UnknownTask, match="'g'"):
            await act


# --- retired -------------------------------------------------------------------------------------


async def test_retired_gold_is_asked_of_nobody_also_after_a_restart(
    queue: LabelQueue, make_queue: MakeQueue
) -> None:
    old = (await queue.owner.write_gold(SOUP)).gold_id
    new = (await queue.owner.write_gold(RICE)).gold_id
    row = await queue.owner.retire_gold(old, "too easy", actor="olga")
    assert (row.is_asked, row.decided_by, row.why) == (False, "olga", "too easy")
    for each, name in ((queue, "ann"), (make_queue(config_with()), "bob")):
        asked = [query_of(each, await take(each, name)) for _ in range(10)]
        assert {query.repeat_of for query in asked if query.purpose == "gold"} == {new}
        assert [each.gold_id for each in shown(each, is_asked=False)] == [old]


async def test_what_was_answered_before_counts_and_what_comes_later_judges_nobody(
    queue: LabelQueue, make_queue: MakeQueue
) -> None:
    name = (await queue.owner.write_gold(SOUP)).gold_id
    await answer(queue, await take_gold(queue), "ann", right=False)
    out = [await take_gold(queue) for _ in range(6)]
    before = standing(queue)
    assert (told(queue, name).right, told(queue, name).wrong) == (0, 1)
    await queue.owner.retire_gold(name, "its answer was wrong")
    for task in out:  # by the sixth wrong answer the test would suspend anybody
        await answer(queue, task, "ann", right=False)
    assert standing(queue) == before
    assert (told(queue, name).right, told(queue, name).wrong) == (0, 1)
    is_same(queue, make_queue(config_with()))


async def test_a_change_of_mind_after_the_retirement_changes_no_judgement(
    queue: LabelQueue, make_queue: MakeQueue
) -> None:
    name = (await queue.owner.write_gold(SOUP)).gold_id
    task = await take_gold(queue)
    await answer(queue, task, "ann", right=False)
    before = standing(queue)
    await queue.owner.retire_gold(name, "too easy")
    await answer(queue, task, "ann", right=True, revision=1)
    assert standing(queue) == before
    await queue.owner.bring_back_gold(name, "not so easy")
    await answer(queue, task, "ann", right=True, revision=2)
    assert standing(queue) != before
    assert (told(queue, name).right, told(queue, name).wrong) == (1, 0)
    is_same(queue, make_queue(config_with()))


async def test_with_the_last_gold_retired_newcomers_are_active(
    queue: LabelQueue, make_queue: MakeQueue
) -> None:
    assert standing(queue).state == "active"
    name = (await queue.owner.write_gold(SOUP)).gold_id
    assert standing(queue).state == "probation"
    await answer(queue, await take(queue, "ann"), "ann", right=True)
    await queue.owner.retire_gold(name, "no more")
    await answer(queue, await take(queue, "bob"), "bob", right=True)
    for each in (queue, make_queue(config_with())):
        states = {who: each.state.history.standings[who].state for who in ("ann", "bob", "cid")}
        assert states == {"ann": "probation", "bob": "active", "cid": "active"}
    assert (await queue.owner.gold(offset=0, limit=1)).num_asked == 0


async def test_gold_of_a_file_is_retired_and_stays_so(
    make_queue: MakeQueue, tmp_path: Path
) -> None:
    path = tmp_path / "gold.jsonl"
    path.write_text(json.dumps(SOUP.model_dump(mode="json")) + "\n")
    config = config_with(path=path)
    queue = make_queue(config)
    await answer_orders(queue)
    [row] = shown(queue)
    assert (row.origin, row.made_by, row.is_asked) == ("file", None, True)
    await answer(queue, await take(queue, "ann"), "ann", right=True)
    await queue.owner.retire_gold(row.gold_id, "too easy")
    again = make_queue(config)
    [row] = shown(again)
    assert not row.is_asked
    is_same(queue, again)
    assert queue.state.history.standings["ann"].state == "probation"
    assert queue.state.history.standings["newcomer"].state == "active"
    # To write the same by hand brings it back, and makes no second.
    assert (await again.owner.write_gold(SOUP)).gold_id == row.gold_id
    [row] = shown(again)
    assert row.is_asked


# --- edited --------------------------------------------------------------------------------------


async def test_an_edit_puts_a_new_version_in_the_place_of_the_old_one(
    queue: LabelQueue, ledger: MemoryLedger, make_queue: MakeQueue
) -> None:
    old = await queue.owner.write_gold(SOUP)
    new = await queue.owner.edit_gold(
        old.gold_id, GoldEdit(answer=2, prompt="the tea was"), "a slip", actor="olga"
    )
    assert new.gold_id != old.gold_id
    assert (new.prompt.text, new.replaces) == ("the tea was", old.gold_id)
    assert new.answer == new.candidates[2].candidate_id
    assert [each.text for each in new.candidates] == list(SOUP.candidates)
    old = told(queue, old.gold_id)
    assert (old.is_asked, old.replaced_by, old.why) == (False, new.gold_id, "a slip")
    assert [type(event) for event in gold_events(ledger)] == [GoldMade, GoldMade, GoldRetired]
    assert {event.actor for event in gold_events(ledger)[1:]} == {"olga"}  # type: ignore[union-attr]
    with pytest.raises(LabelConflict, match="bring it back"):
        await queue.owner.edit_gold(old.gold_id, GoldEdit(answer=1), "again")
    is_same(queue, make_queue(config_with()))


async def test_an_edit_keeps_the_language(make_queue: MakeQueue) -> None:
    queue = make_queue(config_with())  # which has asked nothing yet that gold would be told from
    old = await queue.owner.write_gold(SOUP.model_copy(update={"language": "de"}))
    new = await queue.owner.edit_gold(old.gold_id, GoldEdit(answer=2), "a slip")
    assert (old.prompt.language, new.prompt.language) == ("de", "de")


async def test_to_bring_back_the_old_version_undoes_an_edit(
    queue: LabelQueue, make_queue: MakeQueue
) -> None:
    old = (await queue.owner.write_gold(SOUP)).gold_id
    new = (await queue.owner.edit_gold(old, GoldEdit(answer=2), "a slip")).gold_id
    back = await queue.owner.bring_back_gold(old, "no slip")
    assert (back.is_asked, back.replaces, back.replaced_by) == (True, new, None)
    assert not told(queue, new).is_asked
    # And that is undone in the same way.
    assert (await queue.owner.bring_back_gold(new, "a slip all the same")).is_asked
    assert not told(queue, old).is_asked
    is_same(queue, make_queue(config_with()))


async def test_another_answer_to_a_past_query_is_asked_of_nobody_who_answered_it(
    queue: LabelQueue,
) -> None:
    past = await choose(queue, "ann", 0)
    query = queue.state.board.queries[past]
    old = await queue.owner.make_gold(past, query.candidates[0].candidate_id)
    new = await queue.owner.edit_gold(old.gold_id, GoldEdit(answer=1), "the second is better")
    assert new.origin == "past"
    same = await queue.owner.make_gold(past, query.candidates[1].candidate_id)
    assert same.gold_id == new.gold_id
    texts = tuple(f"text {n}" for n in range(4))
    newest = await queue.owner.edit_gold(new.gold_id, GoldEdit(answer=1, candidates=texts), "plain")
    assert [each.text for each in newest.candidates] == list(texts)
    asked = [query_of(queue, await take(queue, "ann")) for _ in range(10)]
    assert {each.purpose for each in asked} == {"train"}
    assert query_of(queue, await take_gold(queue, "bob")).repeat_of == newest.gold_id


async def test_an_edit_that_changes_nothing_is_none(
    queue: LabelQueue, ledger: MemoryLedger
) -> None:
    row = await queue.owner.write_gold(SOUP)
    assert await queue.owner.edit_gold(row.gold_id, GoldEdit(answer=0), "x") == row
    assert len(gold_events(ledger)) == 1


# --- at the same moment --------------------------------------------------------------------------


@pytest.mark.parametrize("is_gold_first", [True, False])
async def test_gold_and_a_newcomers_answer_at_the_same_moment_have_one_order(
    make_queue: MakeQueue, is_gold_first: bool
) -> None:
    queue = make_queue(config_with())
    await answer_orders(queue)
    task = await take(queue, "ann")
    acts: list[Awaitable[object]] = [
        queue.owner.write_gold(SOUP),
        answer(queue, task, "ann", right=True),
    ]
    await asyncio.gather(*(acts if is_gold_first else reversed(acts)))
    assert queue.state.history.standings["newcomer"].state == "probation"
    is_same(queue, make_queue(config_with()))


async def test_an_answer_and_a_retirement_at_the_same_moment_have_one_order(
    make_queue: MakeQueue,
) -> None:
    queue = make_queue(config_with())
    await answer_orders(queue)
    name = (await queue.owner.write_gold(SOUP)).gold_id
    first, second = await take_gold(queue, "ann"), await take_gold(queue, "bob")
    await asyncio.gather(
        answer(queue, first, "ann", right=False),
        queue.owner.retire_gold(name, "now"),
        answer(queue, second, "bob", right=False),
    )
    is_same(queue, make_queue(config_with()))


async def test_decisions_that_come_at_once_are_decided_one_after_the_other(
    queue: LabelQueue, ledger: MemoryLedger
) -> None:
    name = (await queue.owner.write_gold(SOUP)).gold_id
    rows = await asyncio.gather(*(queue.owner.retire_gold(name, "now") for _ in range(5)))
    assert len(set(rows)) == 1
    assert [type(event) for event in gold_events(ledger)] == [GoldMade, GoldRetired]


# --- what people agree on ------------------------------------------------------------------------


async def test_what_several_people_agree_on_can_be_made_gold(
    make_queue: MakeQueue, clock: ManualClock
) -> None:
    queue = make_queue(
        make_config(total=200, initial=200, refits=1, overlap_share=0.9, overlap_labelers=3)
    )
    for name in ("ann", "bob", "cid"):
        await queue.owner.add_labeler(name)
    await answer_orders(queue)
    given: dict[str, list[str]] = {}
    for name in ("ann", "bob", "cid"):
        for number in range(12):
            # All agree on some, cid differs on others, and on some all say that it is a tie.
            index = None if number % 4 == 3 else int(name == "cid" and number % 2)
            given.setdefault(await choose(queue, name, index), []).append(name)
    page = await queue.owner.agreements(offset=0, limit=100)
    assert page.total == len(page.queries) > 1
    votes = [len(each.votes) for each in page.queries]
    assert votes == sorted(votes, reverse=True)
    assert votes[0] == 3
    for each in page.queries:
        assert [vote.labeler_id for vote in each.votes] == given[each.query_id]
        assert {vote.choice for vote in each.votes} == {each.choice}
        assert each.choice == each.candidates[0].candidate_id
    second = await queue.owner.agreements(offset=1, limit=1)
    assert second.queries == page.queries[1:2]
    best = page.queries[0]
    made = await queue.owner.make_gold(best.query_id, best.choice)
    left = await queue.owner.agreements(offset=0, limit=100)
    assert left.queries == page.queries[1:]
    await queue.owner.retire_gold(made.gold_id, "no")
    assert (await queue.owner.agreements(offset=0, limit=100)).queries == page.queries
    # Who is left out has no part in what decides who else is.
    await queue.owner.exclude("bob", 0, "a script")
    shared = [
        each for each in page.queries if "bob" not in {vote.labeler_id for vote in each.votes}
    ]
    assert (await queue.owner.agreements(offset=0, limit=100)).queries == tuple(shared)


@pytest.mark.parametrize("is_said", [True, False])
async def test_written_gold_says_what_the_runs_prompts_say(
    make_queue: MakeQueue, is_said: bool
) -> None:
    queue = make_queue(config_with())
    said: dict[str, Any] = {"language": "de", "node": NODE}
    for order in await queue.policy_loop.next_orders(0.0):
        prompt = replace(make_prompt(1), **(said if is_said else {}))
        drafts = [make_draft(number, prompt=prompt) for number in range(order.num_drafts)]
        await queue.policy_loop.offer(order.order_id, drafts)
    with_it = SOUP.model_copy(update=said)
    fit, unfit = (with_it, SOUP) if is_said else (SOUP, with_it)
    for field in said:
        wrong = fit.model_copy(update={field: getattr(unfit, field)})
        with pytest.raises(InvalidLabel, match="tell gold from the rest") as caught:
            await queue.owner.write_gold(wrong)
        assert caught.value.field == field
    await queue.owner.write_gold(fit)
    task = query_of(queue, await take_gold(queue))
    assert (bool(task.prompt_language), task.prompt_node is not None) == (is_said, is_said)
