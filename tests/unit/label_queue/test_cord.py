"""The cord, from its fold to the learner that waits at it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import reduce

import pytest

from label_queue.folds.cord import RELEASED, after
from label_queue.queue import LabelQueue
from protocol.cord import (
    CordEvent,
    CordReason,
    CordState,
    Pulled,
    ReasonReleased,
    Released,
    RollbackOrdered,
    RolledBack,
)
from protocol.errors import LabelConflict, QueueClosed, ResourceError, UnknownTask
from protocol.labels import PolicyProvenance
from tests.support.cord import release_shown
from tests.support.labels import make_cord_event
from tests.support.memory_ledger import MemoryLedger
from tests.support.messages import make_policy
from tests.unit.label_queue.conftest import MakeQueue

# --- the fold ----------------------------------------------------------------------------------


def hangs(*events: CordEvent) -> CordState:
    return reduce(after, events, RELEASED)


def reason_of(number: int, actor: str, **own: object) -> CordReason:
    return CordReason(
        pull_id=f"cord:{number}",
        actor=actor,
        reason=f"{actor} saw something",
        at=1_000.0 + number,
        **own,  # type: ignore[arg-type]
    )


def test_every_reason_is_kept_and_the_oldest_is_shown() -> None:
    guard = make_cord_event(
        Pulled, 1, actor="guard", guard="kl_sign", evidence="guards/0001-kl_sign.json"
    )
    assert hangs(make_cord_event(Pulled), guard) == CordState(
        is_pulled=True,
        pulled_by="ann",
        reason="ann saw something",
        pulled_at=1_000.0,
        reasons=(
            reason_of(0, "ann"),
            reason_of(1, "guard", guard="kl_sign", evidence="guards/0001-kl_sign.json"),
        ),
    )


@pytest.mark.parametrize(("released", "left"), [("cord:0", "bob"), ("cord:1", "ann")])
def test_a_reason_goes_by_its_own_name_and_the_line_with_the_last(released: str, left: str) -> None:
    both: list[CordEvent] = [make_cord_event(Pulled), make_cord_event(Pulled, 1, actor="bob")]
    one = make_cord_event(ReasonReleased, 2, actor="owner", pull_id=released)
    state = hangs(*both, one)
    assert (state.is_pulled, state.pulled_by) == (True, left)
    assert hangs(*both, one, one) == state
    last = make_cord_event(ReasonReleased, 3, pull_id=state.reasons[0].pull_id)
    assert hangs(*both, one, last) == RELEASED


def test_a_release_that_crosses_an_order_to_roll_back_leaves_the_order() -> None:
    order = make_cord_event(RollbackOrdered, 1, to_version=3)
    late = make_cord_event(ReasonReleased, 2, pull_id="cord:0")
    state = hangs(make_cord_event(Pulled), order, late)
    assert (state.is_pulled, state.rollback_to) == (True, 3)


def test_a_release_lets_go_and_the_next_pull_counts_anew() -> None:
    events: list[CordEvent] = [make_cord_event(Pulled), make_cord_event(Released, 1, actor="owner")]
    assert hangs(*events) == RELEASED
    again = hangs(*events, make_cord_event(Pulled, 2, actor="bob"))
    assert (again.pulled_by, again.pulled_at) == ("bob", 1_002.0)


def test_a_guard_that_pulls_again_adds_its_offer() -> None:
    guard = make_cord_event(Pulled, 1, actor="guard", offered_rollback=0)
    state = hangs(make_cord_event(Pulled), guard, replace(guard, offered_rollback=5))
    assert (state.pulled_by, state.offered_rollback) == ("ann", 0)


def test_a_rollback_pulls_and_leaves_it_pulled_when_done() -> None:
    ordered = make_cord_event(RollbackOrdered, actor="owner", to_version=3)
    assert hangs(ordered) == CordState(
        is_pulled=True,
        pulled_by="owner",
        reason="owner saw something",
        pulled_at=1_000.0,
        rollback_to=3,
        reasons=(reason_of(0, "owner"),),
    )
    done = hangs(ordered, make_cord_event(RolledBack, 1, actor="learner", restored_version=3))
    assert (done.is_pulled, done.pulled_by, done.rollback_to) == (True, "owner", None)


# --- the learner waits at it -------------------------------------------------------------------


async def test_the_learner_passes_until_somebody_pulls_and_again_once_released(
    queue: LabelQueue,
) -> None:
    assert await queue.policy_loop.pass_cord() is None
    cord = await queue.people.pull_cord("ann", "it swears")
    assert (cord.is_pulled, cord.pulled_by, cord.reason) == (True, "ann", "it swears")
    waiting = asyncio.create_task(queue.policy_loop.pass_cord())
    await asyncio.sleep(0)
    assert not waiting.done()
    assert (await queue.owner.pull_cord("me too")).pulled_by == "ann"
    assert (await release_shown(queue, "fixed")).pulled_by == "owner"
    await asyncio.sleep(0)
    assert not waiting.done()
    assert not (await release_shown(queue, "mine too")).is_pulled
    assert await waiting is None
    assert await queue.policy_loop.cord() == RELEASED


async def test_pulling_and_releasing_twice_write_once(
    queue: LabelQueue, ledger: MemoryLedger
) -> None:
    for _ in range(2):
        await queue.policy_loop.pull_cord("guard", "NaN")
    [shown] = (await queue.policy_loop.cord()).reasons
    for _ in range(2):
        await queue.owner.release_cord("fixed", shown.pull_id)
    assert [type(event) for event in ledger.cord_events()] == [Pulled, ReasonReleased]


async def test_each_person_and_each_guard_has_one_open_reason(queue: LabelQueue) -> None:
    for guard in ("kl_sign", "not_finite", "kl_sign"):
        await queue.policy_loop.pull_cord("guard", f"{guard} saw it", guard=guard)
    for reason in ("it swears", "it shouts"):
        await queue.people.pull_cord("ann", reason)
    cord = await queue.policy_loop.cord()
    assert [(each.guard or each.actor, each.reason) for each in cord.reasons] == [
        ("kl_sign", "kl_sign saw it"),
        ("not_finite", "not_finite saw it"),
        ("ann", "it swears"),
    ]


async def test_a_guards_reason_outlives_the_release_of_a_labelers_typo(
    queue: LabelQueue, make_queue: MakeQueue
) -> None:
    await queue.people.pull_cord("ann", "typo")
    await queue.policy_loop.pull_cord("guard", "NaN", guard="not_finite", evidence="guards/1.json")
    typo = (await queue.policy_loop.cord()).reasons[0].pull_id
    for _ in range(2):
        left = await queue.owner.release_cord("only a typo", typo)
    assert [each.guard for each in left.reasons] == ["not_finite"]
    assert (left.is_pulled, left.reason) == (True, "NaN")
    assert await make_queue().policy_loop.cord() == left


async def test_a_release_of_what_nobody_pulled_is_refused(queue: LabelQueue) -> None:
    await queue.owner.pull_cord("stop")
    with pytest.raises(UnknownTask, match="'no-such-pull'"):
        await queue.owner.release_cord("which?", "no-such-pull")
    assert (await queue.policy_loop.cord()).is_pulled


async def test_a_pulled_cord_is_pulled_after_a_restart(make_queue: MakeQueue) -> None:
    await make_queue().policy_loop.pull_cord("guard", "rewards differ", 2)
    after_restart = await make_queue().policy_loop.cord()
    assert (after_restart.is_pulled, after_restart.offered_rollback) == (True, 2)


async def test_a_pull_that_could_not_be_written_does_not_hold(
    queue: LabelQueue, ledger: MemoryLedger
) -> None:
    ledger.is_full = True
    with pytest.raises(ResourceError):
        await queue.owner.pull_cord("stop")
    assert await queue.policy_loop.pass_cord() is None


async def test_a_rollback_reaches_the_learner_and_is_done_once(
    queue: LabelQueue, ledger: MemoryLedger, make_queue: MakeQueue
) -> None:
    for version in (1, 2, 3):
        await queue.policy_loop.set_progress(10 * version, make_policy(version, 10 * version))
    waiting = asyncio.create_task(queue.policy_loop.pass_cord())
    await waiting
    ordered = await queue.owner.order_rollback(1, "it forgot how to end")
    assert (ordered.is_pulled, ordered.rollback_to) == (True, 1)
    assert (await queue.owner.order_rollback(1, "again")).reason == "it forgot how to end"
    assert await queue.policy_loop.pass_cord() == 1
    assert await make_queue().policy_loop.pass_cord() == 1
    with pytest.raises(LabelConflict, match="rollback to policy version 1 is under way"):
        await release_shown(queue, "too early")
    with pytest.raises(LabelConflict, match="wait for it"):
        await queue.owner.order_rollback(2, "another")
    restored = replace(make_policy(4, 30), restored_from=1)
    await queue.policy_loop.rolled_back(restored)
    await queue.policy_loop.rolled_back(restored)
    assert [type(event).__name__ for event in ledger.cord_events()] == [
        "RollbackOrdered",
        "RolledBack",
    ]
    assert ledger.read(PolicyProvenance)[-1].restored_from == 1
    assert (await queue.policy_loop.cord()).is_pulled
    waiting = asyncio.create_task(queue.policy_loop.pass_cord())
    await asyncio.sleep(0)
    assert not waiting.done()
    await release_shown(queue, "go on")
    assert await waiting is None


async def test_a_repeated_announcement_ends_no_later_rollback(queue: LabelQueue) -> None:
    await queue.policy_loop.set_progress(20, make_policy(2))
    await queue.owner.order_rollback(0, "bad")
    restored = replace(make_policy(3), restored_from=0)
    await queue.policy_loop.rolled_back(restored)
    await queue.owner.order_rollback(2, "not so bad")
    await queue.policy_loop.rolled_back(restored)
    assert (await queue.policy_loop.cord()).rollback_to == 2


async def test_a_rollback_to_a_version_never_made_is_refused(queue: LabelQueue) -> None:
    await queue.policy_loop.set_progress(20, make_policy(2))
    with pytest.raises(UnknownTask, match=r"no policy version 7 .* newest is 2"):
        await queue.owner.order_rollback(7, "typo")
    assert not (await queue.policy_loop.cord()).is_pulled


async def test_closing_wakes_who_waits_at_the_cord(queue: LabelQueue) -> None:
    await queue.owner.pull_cord("stop")
    waiting = asyncio.create_task(queue.policy_loop.pass_cord())
    await asyncio.sleep(0)
    await queue.close()
    with pytest.raises(QueueClosed):
        await waiting


async def test_a_rollback_reaches_a_learner_that_waits_for_labels(queue: LabelQueue) -> None:
    await queue.policy_loop.set_progress(0, make_policy(0))
    waiting = asyncio.create_task(queue.policy_loop.wait_until_allowed(0))
    await queue.owner.pull_cord("it shouts")
    await asyncio.sleep(0)
    assert not waiting.done()
    await queue.owner.order_rollback(0, "go back")
    await asyncio.wait_for(waiting, 5)
    assert await queue.policy_loop.pass_cord() == 0
