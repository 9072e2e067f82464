"""What the run's own parts ask of the label queue, asked twice: the second finds the first one."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from label_queue.connectors.outposts import Outposts
from label_queue.shell import LabelQueueShell
from label_queue.sides.intake_failures import IntakeFailures
from label_queue.sides.policy_loop import PolicyLoopSide
from tests.support.labels import make_drafts, make_reward
from tests.support.messages import make_policy, make_request, make_rollout
from tests.support.twice import READS, Scenario, Table, by_method, check_table
from tests.unit.label_queue.labeling import label
from tests.unit.twice.label_queue.conftest import World

# ── the policy loop ──────────────────────────────────────────────────────────────────────────────


async def add_reference(world: World) -> None:
    rollouts = [make_rollout(make_request(number, "reference")) for number in range(4)]
    pool = world.queue._asker._pool
    await world.loop.add_reference(rollouts)
    size = len(pool)
    await world.loop.add_reference(rollouts)
    assert len(pool) == size


async def next_orders(world: World) -> None:
    orders = await world.same(lambda: world.loop.next_orders(0.0, "call-1"))
    assert orders
    both = await asyncio.gather(
        world.loop.next_orders(0.01, "call-2"), world.loop.next_orders(0.01, "call-2")
    )
    assert list(both) == [[], []]  # what is under way is not ordered again
    await world.loop.set_progress(50, make_policy(1, 50))
    first = asyncio.create_task(world.loop.next_orders(60.0, "call-3"))
    second = asyncio.create_task(world.loop.next_orders(60.0, "call-3"))
    assert await first == await second != []


async def offer(world: World) -> None:
    [order] = await world.loop.next_orders(0.0)
    drafts = make_drafts(order)
    assert await world.same(lambda: world.loop.offer(order.order_id, drafts)) == order.num_queries


async def set_progress(world: World) -> None:
    await world.same(lambda: world.loop.set_progress(8, make_policy(1, 8)))
    await world.loop.set_progress(4, make_policy(1, 4))
    assert world.queue.state.episodes == 8


async def wait_until_allowed(world: World) -> None:
    await world.fill()
    await label(world.queue, 10)
    await world.twice(lambda: world.loop.wait_until_allowed(0))


async def pull_cord(world: World) -> None:
    await world.same(lambda: world.loop.pull_cord("guard", "it turned", 3))


async def rolled_back(world: World) -> None:
    await world.loop.set_progress(8, make_policy(1, 8))
    await world.owner.order_rollback(1, "it rhymes")
    restored = replace(make_policy(2, 8), restored_from=1)
    await world.same(lambda: world.loop.rolled_back(restored))
    assert (await world.loop.cord()).rollback_to is None


async def next_refit(world: World) -> None:
    await world.fill()
    await label(world.queue, 10)
    await world.same(world.loop.next_refit)


async def next_update(world: World) -> None:
    await _serve_first(world)
    await label(world.queue, 3)
    await world.same(world.loop.next_update)


async def catch_up(world: World) -> None:
    await _serve_first(world)
    await label(world.queue, 1)
    refit = make_reward(2, ledger_seq=10, learned=range(1, 11))
    await world.same(lambda: world.loop.catch_up(refit))


async def _serve_first(world: World) -> None:
    await world.fill()
    await label(world.queue, 10)
    reward = make_reward(1, ledger_seq=(await world.loop.next_refit()).ledger_seq)
    await world.loop.reward_served(reward)


async def reward_served(world: World) -> None:
    await world.fill()
    await label(world.queue, 10)
    reward = make_reward(1, ledger_seq=(await world.loop.next_refit()).ledger_seq)
    await world.same(lambda: world.loop.reward_served(reward))


async def first_sampled(world: World) -> None:
    await world.loop.first_sampled(1, 5.0)
    stats = await world.loop.stats()
    await world.loop.first_sampled(1, 6.0)
    assert await world.loop.stats() == stats


async def tell_activity(world: World) -> None:
    await world.loop.tell_activity("training")
    changes = world.queue.state.change.count
    await world.loop.tell_activity("training")
    assert world.queue.state.change.count == changes


async def want_of_room(world: World) -> None:
    world.ledger.is_full = True
    words = await world.loop.want_of_room()
    changes = world.queue.state.change.count
    assert await world.loop.want_of_room() == words
    assert world.queue.state.change.count == changes


POLICY_LOOP: Table = {
    "add_reference": add_reference,
    "next_orders": next_orders,
    "offer": offer,
    "set_progress": set_progress,
    "wait_until_allowed": wait_until_allowed,
    "pass_cord": READS,
    "pull_cord": pull_cord,
    "rolled_back": rolled_back,
    "wait_released": READS,
    "cord": READS,
    "next_refit": next_refit,
    "next_update": next_update,
    "catch_up": catch_up,
    "reward_served": reward_served,
    "first_sampled": first_sampled,
    "tell_activity": tell_activity,
    "want_of_room": want_of_room,
    "stats": READS,
    "online_stats": READS,
    "ledger_commit_p95_s": READS,
    "winrate": READS,
    "coverage": READS,
    "validation_votes": READS,
    "lost_votes": READS,
    "known_pairs": READS,
}


# ── the others ───────────────────────────────────────────────────────────────────────────────────


async def add_failure(world: World) -> None:
    failures = IntakeFailures()
    for _ in range(2):
        await failures.add("GET /: it", "request-1")
    assert await failures.take(0) == (1, {"GET /: it": 1})


async def take_failures(world: World) -> None:
    failures = IntakeFailures()
    await failures.add("GET /: it")
    assert await failures.take(0) == await failures.take(0) == (1, {"GET /: it": 1})
    assert await failures.take(1) == (2, {})


async def start_connectors(world: World) -> None:
    world.outposts.start()
    tasks = list(world.outposts._tasks)
    world.outposts.start()
    assert world.outposts._tasks == tasks


async def close_all(world: World) -> None:
    for _ in range(2):
        await world.outposts.close()
        await world.queue.close()


FAILURES: Table = {"add": add_failure, "take": take_failures}
SHELL: Table = {
    "on_side": READS,  # calls what the tables of the sides name
    "on_side_each": READS,  # the same
    "start_connectors": start_connectors,
    "incarnation": READS,
    "close": close_all,
}
TOOLS: Table = {
    "start": start_connectors,
    "runner": READS,
    "knock": READS,
    "ring": READS,  # what came before is told by its id: tests/unit/label_queue/test_webhooks.py
    "health": READS,
    "stats": READS,
    "close": close_all,
}
TABLES: dict[type, Table] = {
    PolicyLoopSide: POLICY_LOOP,
    IntakeFailures: FAILURES,
    LabelQueueShell: SHELL,
    Outposts: TOOLS,
}


@pytest.mark.parametrize("kind", TABLES)
def test_every_method_says_what_a_second_call_does(kind: type) -> None:
    check_table(kind, TABLES[kind])


ALL = by_method(TABLES)


@pytest.mark.parametrize("name", ALL)
async def test_a_second_call_finds_what_the_first_did(world: World, name: str) -> None:
    scenario: Scenario | None = ALL[name]
    assert scenario is not None
    await scenario(world)
