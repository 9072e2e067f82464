"""What the owner does in a run: taking labels back, and making gold of a past query."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from label_queue.config import WarmConfig
from label_queue.fitting import retraining
from label_queue.labeling.submissions import LabelSubmission
from label_queue.quality_config import QualityConfig
from label_queue.queue import LabelQueue
from label_queue.schedule import LabelSchedule
from protocol.errors import InvalidLabel, LabelConflict, UnknownTask
from protocol.fits import Comparison, FitKind, FitRequest
from protocol.labels import (
    ActUndone,
    ComparisonQuery,
    Excluded,
    LabelChange,
    LabelerEvent,
    Reinstated,
    Submitted,
)
from tests.support.hand_made_ledger import fill
from tests.support.labels import (
    make_assignment,
    make_config,
    make_event,
    make_query,
    make_reward,
)
from tests.support.memory_ledger import MemoryLedger
from tests.support.messages import make_policy
from tests.unit.label_queue.conftest import MakeQueue
from tests.unit.label_queue.labeling import answer_orders, choose, label

SETTLED = make_config(initial=8, warm=WarmConfig(every_labels=0))
"""The ledger made by hand has passed the first refit point, 8; the next is 16."""


async def until(is_so: Callable[[], bool]) -> None:
    """Let everything run until something is so."""
    for _ in range(1_000_000):
        if is_so():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never came to be")


def sees_the_present(queue: LabelQueue) -> bool:
    """Whether whoever waits for a fit has looked at the newest standings."""
    state = queue.state
    return queue.policy_loop._fits._shift_of == (state.reward_version, state.standings_key())


# --- exclusion ---------------------------------------------------------------------------------


async def test_excluding_and_reinstating_are_events_that_say_what_they_change(
    make_queue: MakeQueue, ledger: MemoryLedger
) -> None:
    fill(ledger)
    queue = make_queue()
    shown = await queue.owner.preview_exclusion("bob", 8)
    assert (shown.labels_leaving, shown.reward_versions, shown.policy_versions) == (
        2,
        (1, 2),
        (1, 3),
    )
    assert isinstance(ledger.events()[-1], Submitted)
    done = await queue.owner.exclude("bob", 8, "at random")
    assert replace(done, undoable=None) == shown
    event = ledger.events()[-1]
    assert isinstance(event, Excluded)
    assert (event.labeler_id, event.from_seq) == ("bob", 8)
    assert (event.reason, event.source.system) == ("at random", "owner")
    assert (await queue.owner.overview()).progress.labels_received == 9
    assert (await queue.owner.exclude("bob", 8, "again")).labels_leaving == 0
    assert (await queue.owner.preview_exclusion("bob", 8, "exclude")).labels_leaving == 0
    back = await queue.owner.preview_exclusion("bob", 0, "reinstate")
    assert (back.labels_leaving, back.labels_returning) == (0, 2)
    done = await queue.owner.reinstate("bob", "it was another")
    assert replace(done, undoable=None) == back
    assert (await queue.owner.reinstate("bob", "again")).labels_leaving == 0
    assert [type(e) for e in ledger.events()[-2:]] == [Excluded, Reinstated]
    assert (await queue.owner.overview()).progress.labels_received == 11


async def test_an_act_is_undone_once_by_its_name_and_by_nobody_who_looked_at_another(
    make_queue: MakeQueue, ledger: MemoryLedger
) -> None:
    fill(ledger)
    queue = make_queue()
    first = await queue.owner.exclude("bob", 8, "at random")
    assert first.undoable is not None
    second = await queue.owner.exclude("bob", 0, "all of it")
    assert second.undoable not in (None, first.undoable)
    with pytest.raises(LabelConflict, match="came after it"):
        await queue.owner.undo("bob", first.undoable, "a slip")
    shown = await queue.owner.preview_exclusion("bob", 0, "undo")
    assert await queue.owner.undo("bob", second.undoable, "a slip") == shown
    assert (shown.labels_leaving, shown.labels_returning, shown.undoable) == (0, 1, None)
    event = ledger.events()[-1]
    assert isinstance(event, ActUndone)
    assert (event.undoes, event.actor, event.reason) == (second.undoable, "owner", "a slip")
    [bob] = [row for row in (await queue.owner.overview()).labelers if row.labeler_id == "bob"]
    assert (bob.state, bob.excluded_from, bob.undoable) == ("excluded", 8, None)
    again = await queue.owner.undo("bob", second.undoable, "a slip")
    assert (again.labels_leaving, again.labels_returning) == (0, 0)
    assert ledger.events()[-1] == event


async def test_nobody_unknown_is_excluded(queue: LabelQueue) -> None:
    for act in (
        queue.owner.preview_exclusion("eve", 0),
        queue.owner.exclude("eve", 0, "who?"),
        queue.owner.reinstate("eve", "who?"),
        queue.owner.undo("eve", "0199", "who?"),
    ):
        with pytest.raises(UnknownTask, match="'eve'"):
            await act


async def test_an_exclusion_that_weighs_makes_a_refit_due_at_once(
    make_queue: MakeQueue, ledger: MemoryLedger
) -> None:
    fill(ledger)
    queue = make_queue(SETTLED)
    waiting = asyncio.create_task(queue.policy_loop.next_refit())
    await until(lambda: sees_the_present(queue))
    assert not waiting.done()
    await queue.owner.exclude("bob", 10, "at random")
    request = await waiting
    assert (request.kind, request.is_forced, request.contaminated_from) == ("refit", True, 3)
    assert [comparison.seq for comparison in request.comparisons] == [1, 2, 3, 4, 5, 6, 7, 8, 9, 11]
    assert request.labels_used == 10
    await queue.policy_loop.reward_served(make_reward(3, ledger_seq=request.ledger_seq))
    settled = asyncio.create_task(queue.policy_loop.next_refit())
    await until(lambda: sees_the_present(queue))
    assert not settled.done()
    await queue.owner.reinstate("bob", "it was another")
    returned = await settled
    assert (returned.kind, returned.is_forced, returned.labels_used) == ("refit", True, 11)
    assert returned.contaminated_from is None


async def test_a_forced_refit_is_still_due_after_a_restart(
    make_queue: MakeQueue, ledger: MemoryLedger
) -> None:
    fill(ledger)
    await make_queue().owner.exclude("bob", 0, "at random")
    request = await make_queue().policy_loop.next_refit()
    assert (request.kind, request.is_forced, request.contaminated_from) == ("refit", True, 1)


async def test_a_forced_refit_is_that_of_a_ledger_without_them(
    make_queue: MakeQueue, ledger: MemoryLedger
) -> None:
    fill(ledger)
    queue = make_queue(SETTLED)
    await queue.owner.exclude("bob", 0, "at random")
    request = await queue.policy_loop.next_refit()
    without = MemoryLedger()
    without.write([*ledger.queries(), *ledger.assignments()])
    without.write(
        [e for e in ledger.events() if isinstance(e, LabelerEvent) and e.labeler_id != "bob"]
    )
    schedule = LabelSchedule.of(SETTLED, num_episodes=100, mode="online")
    clean = LabelQueue(without, SETTLED, schedule, run_id="run-1", seed=1)
    wanted = await clean.policy_loop.next_refit()
    await clean.close()

    def said(fit: FitRequest) -> list[Comparison]:
        return [replace(comparison, seq=0) for comparison in fit.comparisons]

    assert said(request) == said(wanted)
    assert request.labeler_weights == wanted.labeler_weights
    assert (request.kind, request.labels_used) == (wanted.kind, wanted.labels_used)


async def test_labels_taken_back_during_a_fit_are_out_of_the_next(queue: LabelQueue) -> None:
    await answer_orders(queue)
    await label(queue, 5, "ann")
    await label(queue, 5, "bob")
    under_way = await queue.policy_loop.next_refit()
    await queue.owner.exclude("bob", 0, "at random")
    assert await queue.policy_loop.next_refit() is under_way
    await queue.policy_loop.reward_served(make_reward(1, ledger_seq=under_way.ledger_seq))
    request = await queue.policy_loop.next_refit()
    assert (request.kind, request.is_forced, request.labels_used) == ("refit", True, 5)
    # No policy was trained on it yet.
    assert request.contaminated_from is None


async def test_without_any_label_left_there_is_nothing_to_fit(
    make_queue: MakeQueue, ledger: MemoryLedger
) -> None:
    fill(ledger)
    queue = make_queue(SETTLED)
    for name in ("ann", "bob"):
        await queue.owner.exclude(name, 0, "at random")
    waiting = asyncio.create_task(queue.policy_loop.next_refit())
    await until(lambda: sees_the_present(queue))
    assert not waiting.done()
    await answer_orders(queue)
    await label(queue, 1, "carl")
    request = await waiting
    assert (request.is_forced, request.labels_used) == (True, 1)


async def test_a_warm_update_that_finds_nothing_to_learn_is_passed_over(
    queue: LabelQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    await answer_orders(queue)
    await label(queue, 10)
    first = await queue.policy_loop.next_refit()
    await queue.policy_loop.reward_served(make_reward(1, ledger_seq=first.ledger_seq))
    await queue.policy_loop.set_progress(50, make_policy(1))
    await answer_orders(queue)
    kinds: list[str] = []
    chosen_by = retraining.choose

    def capped_out(kind: FitKind, *args: Any, **options: Any) -> list[int]:
        kinds.append(kind)
        chosen: list[int] = chosen_by(kind, *args, **options)
        return [] if len(kinds) == 1 else chosen

    monkeypatch.setattr("label_queue.fitting.reward_fits.choose", capped_out)
    waiting = asyncio.create_task(queue.policy_loop.next_update())
    await label(queue, 3)
    await until(lambda: bool(kinds))
    await label(queue, 3)
    request = await waiting
    assert kinds == ["warm", "warm"]
    assert [each.seq for each in request.comparisons if each.seq > 10] == [11, 12, 13, 14, 15, 16]


async def test_a_light_exclusion_waits_for_the_next_regular_refit(
    make_queue: MakeQueue, ledger: MemoryLedger
) -> None:
    fill(ledger)
    queue = make_queue(SETTLED)
    weights = (("ann", 1.0), ("bob", 0.01))
    light = replace(make_reward(3, ledger_seq=11), labels_used=11, labeler_weights=weights)
    await queue.policy_loop.reward_served(light)
    await queue.owner.exclude("bob", 0, "at random")
    await answer_orders(queue)
    waiting = asyncio.create_task(queue.policy_loop.next_refit())
    await label(queue, 7, "ann")
    await until(lambda: sees_the_present(queue))
    assert not waiting.done()
    await label(queue, 1, "ann")
    request = await waiting
    assert (request.is_forced, request.contaminated_from) == (False, None)
    assert {comparison.labeler_id for comparison in request.comparisons} == {"ann"}


async def test_offline_too_a_refit_is_forced(make_queue: MakeQueue) -> None:
    queue = make_queue(mode="offline")
    await answer_orders(queue)
    await label(queue, 30, "ann")
    await label(queue, 10, "bob")
    first = await queue.policy_loop.next_refit()
    await queue.policy_loop.reward_served(make_reward(1, ledger_seq=first.ledger_seq))
    await queue.policy_loop.set_progress(10, make_policy(1))
    await queue.owner.exclude("bob", 0, "at random")
    request = await queue.policy_loop.next_refit()
    assert (request.kind, request.is_forced, request.labels_used) == ("refit", True, 30)
    assert request.contaminated_from == 1
    await queue.policy_loop.reward_served(make_reward(2, ledger_seq=request.ledger_seq))
    # From later on than before: what lies between comes back, and no warm update would learn it.
    done = await queue.owner.exclude("bob", 38, "later than thought")
    assert (done.labels_returning, done.forces_refit) == (7, True)
    request = await queue.policy_loop.next_refit()
    assert (request.kind, request.is_forced, request.labels_used) == ("refit", True, 37)
    assert request.contaminated_from is None


# --- gold --------------------------------------------------------------------------------------


async def test_gold_is_made_of_a_past_query(queue: LabelQueue, ledger: MemoryLedger) -> None:
    await answer_orders(queue)
    outstanding = (await queue.owner.overview()).progress.queries_outstanding
    query = ledger.queries()[0]
    choice = query.candidates[2].candidate_id
    made = (await queue.owner.make_gold(query.query_id, choice)).gold_id
    assert (await queue.owner.make_gold(query.query_id, choice)).gold_id == made
    [gold] = [each for each in ledger.queries() if each.purpose == "gold"]
    assert gold.query_id == made
    assert gold.repeat_of == query.query_id
    assert gold.gold_answer == gold.candidates[2].candidate_id
    assert [each.text for each in gold.candidates] == [each.text for each in query.candidates]
    assert (await queue.owner.overview()).progress.queries_outstanding == outstanding
    with pytest.raises(UnknownTask, match="'none'"):
        await queue.owner.make_gold("none", choice)
    with pytest.raises(InvalidLabel, match="is not a candidate"):
        await queue.owner.make_gold(query.query_id, "c-none")
    with pytest.raises(InvalidLabel, match="gold task already"):
        await queue.owner.make_gold(gold.query_id, gold.candidates[0].candidate_id)


async def test_no_gold_is_made_of_responses_that_are_alike(
    make_queue: MakeQueue, ledger: MemoryLedger
) -> None:
    older = make_query(0)
    a, b, c, d = older.candidates
    older = replace(older, candidates=(a, replace(b, text=a.text), c, d))
    ledger.write([older])
    queue = make_queue()
    with pytest.raises(InvalidLabel, match="two responses that are alike") as refused:
        await queue.owner.make_gold("q0", "q0-a")
    assert refused.value.field == "query_id"
    assert await queue.people.next_task("ann", 0.0) is None  # nor is it asked itself


async def test_nobody_is_asked_gold_made_of_what_they_answered(make_queue: MakeQueue) -> None:
    quality = QualityConfig.model_validate({"gold": {"share_first": 0.99}, "repeat_share": 0.0})
    queue = make_queue(make_config(quality=quality))
    await answer_orders(queue)
    past = await choose(queue, "ann", 0)
    query: ComparisonQuery = queue.state.board.queries[past]
    await queue.owner.make_gold(past, query.candidates[0].candidate_id)
    for name in ("ann", "bob"):
        for _ in range(5):
            await choose(queue, name, 0)

    def asked(labeler_id: str) -> list[str]:
        events = queue.state.history.submits_of(labeler_id)
        return [queue.state.board.queries[event.query_id].purpose for event in events]

    assert "gold" not in asked("ann")
    assert "gold" in asked("bob")


async def test_what_somebody_holds_is_free_once_they_are_excluded(make_queue: MakeQueue) -> None:
    queue = make_queue(make_config(total=8, initial=1))
    for name in ("ann", "bob"):
        await queue.owner.add_labeler(name)
    await answer_orders(queue)
    slots = queue.state.board.open_slots
    held = [await queue.people.next_task("ann", 0.0) for _ in range(slots)]
    first = held[0]
    assert first is not None
    assert await queue.people.next_task("ann", 0.0) is None
    await queue.owner.exclude("ann", 0, "a script")
    assert not (await queue.people.heartbeat("ann", first.assignment_id)).is_held
    assert (await queue.people.held_tasks("ann")).tasks == ()
    assert await queue.people.next_task("bob", 0.0) is not None
    assert queue.state.num_labelers == 1
    # What a restart finds of their leases is over as well.
    again = make_queue(make_config(total=8, initial=1))
    assert (await again.people.held_tasks("ann")).tasks == ()


async def test_a_change_of_an_answer_that_a_tool_has_changed_is_refused(
    make_queue: MakeQueue, ledger: MemoryLedger
) -> None:
    asked = make_query(0, num_wanted=2)
    first = make_event(asked, seq=1)
    elsewhere = make_event(asked, seq=2, revision=1, choice=2, event_id="tool/1@1")
    ledger.write([asked, make_assignment(asked), first, elsewhere])
    queue = make_queue()
    change = LabelSubmission(assignment_id=first.assignment_id, revision=1, outcome="skip")
    [refused] = await queue.people.submit("ann", [change])
    assert isinstance(refused, LabelConflict)
    assert "send a change of mind as revision 2" in refused.message
    await queue.owner.exclude("ann", 0, "a script")
    for revision in (1, 2):
        [refused] = await queue.people.submit("ann", [replace(change, revision=revision)])
        assert isinstance(refused, LabelConflict)
        assert "can no longer be changed" in refused.message
    assert len([each for each in ledger.events() if isinstance(each, LabelChange)]) == 2
