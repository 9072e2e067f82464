"""A label queue that is started again knows its ledger, and what the run's folder keeps."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from label_queue.schedule import LabelSchedule
from label_queue.shell import LabelQueueShell, Recollection
from label_queue.sides.policy_loop import PolicyLoopSide
from label_queue.state import LabelState
from protocol.errors import ResourceError
from protocol.labels import QueryOrder
from tests.support.labels import (
    ManualClock,
    count_purposes,
    make_config,
    make_drafts,
    make_query,
)
from tests.support.memory_ledger import MemoryLedger
from tests.support.messages import make_policy, make_prompt, make_request, make_rollout

pytestmark = pytest.mark.timeout(20)

REFERENCE = tuple(
    make_rollout(
        replace(make_request(10 * prompt + number, "reference"), prompt=make_prompt(prompt))
    )
    for prompt in range(4)
    for number in range(4)
)


@asynccontextmanager
async def opened(ledger: Path, recollection: Recollection) -> AsyncIterator[LabelQueueShell]:
    """One life of the queue's process; it ends without a word."""
    shell = LabelQueueShell(
        make_config(validation_share=0.5),
        run_id="run-1",
        ledger=ledger,
        episodes=1000,
        mode="online",
        seed=1,
        recall=lambda: recollection,
    )
    try:
        yield shell
    finally:
        await shell.close()


async def ordered(shell: LabelQueueShell) -> list[QueryOrder]:
    orders: list[QueryOrder] = await shell.on_side(
        PolicyLoopSide, PolicyLoopSide.next_orders, (0.0,), {}
    )
    return orders


async def train(shell: LabelQueueShell) -> None:
    """A step is done, so that π is no longer ρ."""
    policy = make_policy(1)
    await shell.on_side(PolicyLoopSide, PolicyLoopSide.set_progress, (policy.episodes, policy), {})


async def answer(shell: LabelQueueShell, orders: list[QueryOrder]) -> None:
    for order in orders:
        offer = (order.order_id, make_drafts(order))
        await shell.on_side(PolicyLoopSide, PolicyLoopSide.offer, offer, {})


async def test_it_asks_beside_the_reference_again(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.sqlite"
    async with opened(ledger, Recollection()) as shell:
        await train(shell)
        assert set(count_purposes(await ordered(shell))) == {"train"}
    async with opened(ledger, Recollection(reference=REFERENCE)) as shell:
        assert count_purposes(await ordered(shell))["validation"] > 0


async def test_what_it_has_asked_is_not_asked_again_and_what_was_under_way_is(
    tmp_path: Path,
) -> None:
    ledger = tmp_path / "ledger.sqlite"
    recollection = Recollection(reference=REFERENCE)
    async with opened(ledger, recollection) as shell:
        first = await ordered(shell)
        await answer(shell, first[:1])
    async with opened(ledger, recollection) as shell:
        rest = await ordered(shell)
        asked = sum(order.num_queries for order in first)
        assert sum(order.num_queries for order in rest) == asked - first[0].num_queries
        await answer(shell, rest)
    async with opened(ledger, recollection) as shell:
        assert await ordered(shell) == []


async def test_it_knows_when_a_version_was_first_sampled(tmp_path: Path) -> None:
    """Told again later, by those who know no better, the first time stays."""
    recollection = Recollection(first_samples=((3, 100.0),))
    async with opened(tmp_path / "ledger.sqlite", recollection) as shell:
        await shell.on_side(PolicyLoopSide, PolicyLoopSide.first_sampled, (3, 200.0), {})
        arrivals = shell._queue.state.figures._online._arrivals
        assert arrivals._sampled == {3: 100.0}


async def test_what_the_folds_hold_is_out_of_the_garbage_collectors_sight(tmp_path: Path) -> None:
    gc.unfreeze()
    async with opened(tmp_path / "ledger.sqlite", Recollection()):
        assert gc.get_freeze_count() > 0
    gc.unfreeze()


def test_records_are_said_to_have_come_to_stay_many_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("label_queue.state.SETTLED_EVERY", 2)
    config, settled = make_config(), []
    schedule = LabelSchedule.of(config, num_episodes=100, mode="online")
    state = LabelState(config, schedule, ManualClock(), settle=lambda: settled.append(1))
    for number in range(5):
        state.apply(make_query(number))
    assert len(settled) == 2
    ledger = MemoryLedger()
    ledger.write([make_query(5)])
    state.load(ledger)
    assert len(settled) == 4


async def test_a_process_that_could_not_take_in_what_it_wrote_ends_and_another_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[int] = []
    monkeypatch.setattr("label_queue.shell.os._exit", ended.append)
    ledger, recollection = tmp_path / "ledger.sqlite", Recollection(reference=REFERENCE)
    async with opened(ledger, recollection) as shell:
        orders = await ordered(shell)
        with monkeypatch.context() as lost:
            lost.setattr(LabelState, "apply", unreadable)
            with pytest.raises(ResourceError, match="connection"):
                await answer(shell, orders)
        assert ended == [1]
    async with opened(ledger, recollection) as shell:
        assert len(shell._queue.state.board.queries) > 0


def unreadable(*_: object) -> None:
    raise ResourceError("the connection was lost")
