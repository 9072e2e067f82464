"""Gold that an owner writes, makes of what people agree on, or edits, live and after a restart."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import replace
from typing import Any

import pytest

from label_queue.oversight.gold import GoldEdit
from label_queue.oversight.gold_rows import GoldRow
from label_queue.queue import LabelQueue
from protocol.errors import InvalidLabel, LabelConflict, UnknownTask
from protocol.labels import AnswerEvent, GoldMade, GoldRetired
from protocol.messages import ChatMessage
from tests.support.labels import NODE, ManualClock, make_config, make_draft
from tests.support.memory_ledger import MemoryLedger
from tests.support.messages import make_prompt
from tests.support.real_gold import (
    SOUP,
    config_with,
    gold_events,
    is_same,
    query_of,
    take,
    take_gold,
    told,
)
from tests.unit.label_queue.conftest import MakeQueue
from tests.unit.label_queue.labeling import answer_orders, choose

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


async def test_an_edit_does_not_take_other_gold_for_a_version_of_this(
    queue: LabelQueue, ledger: MemoryLedger
) -> None:
    other = await queue.owner.write_gold(SOUP)
    row = await queue.owner.write_gold(SOUP.model_copy(update={"prompt": "the tea was"}))
    with pytest.raises(LabelConflict, match="other gold asks this already: retire"):
        await queue.owner.edit_gold(row.gold_id, GoldEdit(answer=0, prompt=SOUP.prompt), "same")
    assert (told(queue, row.gold_id), told(queue, other.gold_id)) == (row, other)
    assert len(gold_events(ledger)) == 2
    # Retired, it is asked again in the place of this one, and goes with it.
    await queue.owner.retire_gold(other.gold_id, "too easy")
    edit = GoldEdit(answer=0, prompt=SOUP.prompt)
    assert (await queue.owner.edit_gold(row.gold_id, edit, "same")).gold_id == other.gold_id


async def test_an_edit_that_changes_nothing_is_none(
    queue: LabelQueue, ledger: MemoryLedger
) -> None:
    row = await queue.owner.write_gold(SOUP)
    assert await queue.owner.edit_gold(row.gold_id, GoldEdit(answer=0), "x") == row
    assert len(gold_events(ledger)) == 1


# --- what people agree on ------------------------------------------------------------------------


async def test_what_several_people_agree_on_can_be_made_gold(
    make_queue: MakeQueue, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
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
    read: list[str] = []
    labels_by = queue.state.tallies.labels_by

    def noted(query_id: str) -> list[AnswerEvent]:
        read.append(query_id)
        return labels_by(query_id)

    monkeypatch.setattr(queue.state.tallies, "labels_by", noted)
    second = await queue.owner.agreements(offset=1, limit=1)
    assert second.queries == page.queries[1:2]
    assert len(read) == 1, "queries that are not shown are not read"
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
