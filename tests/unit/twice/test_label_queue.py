"""All that is asked of the label queue, asked twice: the second call finds the first one's work."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any, get_args

import pytest

from label_queue.config import GoldConfig, QualityConfig
from label_queue.connectors.outposts import Outposts
from label_queue.labeling.submissions import LabelAnswer, LabelSubmission
from label_queue.ledger.records import Record, stream_of
from label_queue.oversight.gold import GoldEdit
from label_queue.quality.gold_tasks import GoldTask
from label_queue.queue import LabelQueue
from label_queue.schedule import LabelSchedule
from label_queue.shell import LabelQueueShell
from label_queue.sides.intake_failures import IntakeFailures
from label_queue.sides.owner import OwnerSide
from label_queue.sides.people import PeopleSide
from label_queue.sides.policy_loop import PolicyLoopSide
from protocol.errors import InvalidLabel, Unauthenticated
from tests.support.labels import ManualClock, make_config, make_drafts, make_reward
from tests.support.memory_ledger import MemoryLedger
from tests.support.messages import make_policy, make_request, make_rollout
from tests.support.people_contract import OIDC, vouched_for
from tests.support.twice import READS, Scenario, Table, check_table, scenarios
from tests.unit.label_queue.labeling import answer_orders, label


class World:
    """A label queue over a ledger in memory, with an owner, a labeler and tasks."""

    def __init__(self) -> None:
        config = make_config(
            total=80,
            validation_share=0.25,
            quality=QualityConfig(repeat_share=0.0, gold=GoldConfig()),
            intake=make_config().intake.model_copy(update={"oidc": OIDC}),
        )
        self.clock = ManualClock()
        self.ledger = MemoryLedger()
        schedule = LabelSchedule.of(config, num_episodes=100, mode="online")
        self.queue = LabelQueue(
            self.ledger, config, schedule, run_id="run-1", seed=1, clock=self.clock
        )
        self.outposts = Outposts.of(self.queue, config, run_id="run-1")

    @property
    def loop(self) -> PolicyLoopSide:
        return self.queue.policy_loop

    @property
    def people(self) -> PeopleSide:
        return self.queue.people

    @property
    def owner(self) -> OwnerSide:
        return self.queue.owner

    def records(self) -> list[Record]:
        """All that is on disk."""
        kinds = {stream_of(kind): None for kind in get_args(Record)}
        return [record for kind in kinds for record in self.ledger.read(kind)]

    async def twice(self, make: Callable[[], Awaitable[Any]]) -> Any:
        """Call twice, time going on between; assert that the second call wrote nothing.

        Return both answers.
        """
        first = await make()
        written = self.records()
        self.clock.now += 1
        second = await make()
        assert self.records() == written
        return first, second

    async def same(self, make: Callable[[], Awaitable[Any]]) -> Any:
        """Call twice, and assert that the answer was the same, too; return it."""
        first, second = await self.twice(make)
        assert first == second
        return first

    async def fill(self) -> None:
        await self.owner.add_labeler("ann")
        await answer_orders(self.queue)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    yield world
    await world.outposts.close()
    await world.queue.close()


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

# ── people ───────────────────────────────────────────────────────────────────────────────────────


async def open_link(world: World) -> None:
    """Once means once: whoever lost the answer asks the owner for another link."""
    code = (await world.owner.admit("ann", "labeler")).link.removeprefix("/enter/")
    await world.people.open_link(code)
    written = world.records()
    with pytest.raises(Unauthenticated):
        await world.people.open_link(code)
    assert world.records() == written


async def sign_in(world: World) -> None:
    """A session that nobody heard of opens nothing to anybody; the identity is one, not two."""
    ann = vouched_for("ann@example.org")
    await world.owner.admit(ann.name, "labeler")
    _, heard = [await world.people.sign_in(ann) for _ in range(2)]
    assert (await world.people.authenticate(heard)).labeler_id == ann.name
    kinds = [token.kind for token in world.queue.state.access.live(ann.name)]
    assert sorted(kinds) == ["identity", "link", "session", "session", "token"]


async def leave(world: World) -> None:
    code = (await world.owner.admit("ann", "labeler")).link.removeprefix("/enter/")
    session = await world.people.open_link(code)
    await world.same(lambda: world.people.leave(session))


async def next_task(world: World) -> None:
    """What a lost answer leased is listed as held, and given again when its lease ends."""
    await world.fill()
    lost = await world.people.next_task("ann", 0.0)
    taken = await world.people.next_task("ann", 0.0)
    assert lost is not None
    assert taken is not None
    assert lost.assignment_id != taken.assignment_id
    held = {task.assignment_id for task in (await world.people.held_tasks("ann")).tasks}
    assert held == {lost.assignment_id, taken.assignment_id}
    world.clock.now += 3_600
    again = await world.people.next_task("ann", 0.0)
    assert again is None or again.assignment_id in held


async def give_back(world: World) -> None:
    await world.fill()
    task = await world.people.next_task("ann", 0.0)
    assert task is not None
    await world.same(lambda: world.people.give_back("ann", task.assignment_id))
    assert (await world.people.held_tasks("ann")).tasks == ()


async def submit(world: World) -> None:
    await world.fill()
    task = await world.people.next_task("ann", 0.0)
    assert task is not None
    answer = LabelSubmission(
        assignment_id=task.assignment_id,
        outcome="choice",
        choice=task.candidates[0].candidate_id,
    )
    [given] = await world.same(lambda: world.people.submit("ann", [answer, answer][:1]))
    assert isinstance(given, LabelAnswer)


async def heartbeat(world: World) -> None:
    await world.fill()
    task = await world.people.next_task("ann", 0.0)
    assert task is not None
    first, second = await world.twice(lambda: world.people.heartbeat("ann", task.assignment_id))
    assert second.lease_until == first.lease_until + 1  # a second later, for a second longer


async def reject(world: World) -> None:
    await world.fill()
    error = InvalidLabel("no such field", "choise")
    await world.same(lambda: world.people.reject("ann", error, "{", "request-1"))
    assert (await world.loop.stats())["labels/rejected"] == 1


async def pull_as_labeler(world: World) -> None:
    await world.fill()
    await world.same(lambda: world.people.pull_cord("ann", "it rhymes"))


PEOPLE: Table = {
    "authenticate": READS,
    "count_request": READS,
    "open_link": open_link,
    "sign_in": sign_in,
    "leave": leave,
    "next_task": next_task,
    "wait_for_task": next_task,  # its second half
    "give_back": give_back,
    "submit": submit,
    "heartbeat": heartbeat,
    "reject": reject,
    "run_info": READS,
    "held_tasks": READS,
    "me": READS,
    "pull_cord": pull_as_labeler,
}

# ── the owner ────────────────────────────────────────────────────────────────────────────────────


async def add_labeler(world: World) -> None:
    """A token that nobody heard opens nothing to anybody; the labeler is one, not two."""
    first = await world.owner.add_labeler("ann")
    second = await world.owner.add_labeler("ann")
    for token in (first, second):
        assert (await world.people.authenticate(token)).labeler_id == "ann"
    assert list(world.queue.state.access.labelers) == ["ann"]
    await world.owner.revoke("ann", "left")
    for token in (first, second):
        with pytest.raises(Unauthenticated):
            await world.people.authenticate(token)


async def admit(world: World) -> None:
    """As for a token: a link that nobody heard ends by itself, and with all others of its owner."""
    lost, heard = [await world.owner.admit("ann", "labeler") for _ in range(2)]
    assert list(world.queue.state.access.labelers) == ["ann"]
    await world.people.open_link(heard.link.removeprefix("/enter/"))
    await world.owner.revoke("ann", "left")
    with pytest.raises(Unauthenticated):
        await world.people.open_link(lost.link.removeprefix("/enter/"))


async def revoke(world: World) -> None:
    await world.owner.admit("ann", "labeler")
    await world.same(lambda: world.owner.revoke("ann", "left"))


async def revoke_token(world: World) -> None:
    token_id = (await world.owner.admit("ann", "labeler")).token_ids[0]
    await world.same(lambda: world.owner.revoke_token("ann", token_id, "sent to the wrong one"))


async def change_role(world: World) -> None:
    await world.owner.admit("ann", "labeler")
    await world.same(lambda: world.owner.change_role("ann", "observer", "labelled enough"))


async def exclude(world: World) -> None:
    await world.fill()
    await label(world.queue, 3)
    await world.twice(lambda: world.owner.exclude("ann", 1, "random"))


async def reinstate(world: World) -> None:
    await exclude(world)
    await world.twice(lambda: world.owner.reinstate("ann", "it was somebody else"))


async def pull_as_owner(world: World) -> None:
    await world.same(lambda: world.owner.pull_cord("it rhymes"))


async def release_cord(world: World) -> None:
    """What is released is what was looked at: the reason after it stands, however often."""
    await world.owner.pull_cord("it rhymes")
    await world.loop.pull_cord("guard", "NaN in a score", guard="not_finite")
    shown = (await world.loop.cord()).reasons[0]
    left = await world.same(lambda: world.owner.release_cord("mended", shown.pull_id))
    assert [each.guard for each in left.reasons] == ["not_finite"]


async def order_rollback(world: World) -> None:
    await world.loop.set_progress(8, make_policy(1, 8))
    await world.same(lambda: world.owner.order_rollback(1, "it was better then"))


async def make_gold(world: World) -> None:
    await world.fill()
    await label(world.queue, 1)
    query = next(iter(world.queue.state.board.queries.values()))
    choice = query.candidates[0].candidate_id
    await world.same(lambda: world.owner.make_gold(query.query_id, choice))


WRITTEN = GoldTask(prompt="the soup was", candidates=("warm", "cold", "wet", "there"), answer=0)


async def write_gold(world: World) -> None:
    await world.same(lambda: world.owner.write_gold(WRITTEN))


async def edit_gold(world: World) -> None:
    name = (await world.owner.write_gold(WRITTEN)).gold_id
    await world.same(lambda: world.owner.edit_gold(name, GoldEdit(answer=2), "it was the third"))


async def retire_gold(world: World) -> None:
    name = (await world.owner.write_gold(WRITTEN)).gold_id
    await world.same(lambda: world.owner.retire_gold(name, "too easy"))


async def bring_back_gold(world: World) -> None:
    await edit_gold(world)
    name = (await world.owner.gold(offset=1, limit=1)).gold[0].gold_id
    await world.same(lambda: world.owner.bring_back_gold(name, "it was the first after all"))


OWNER: Table = {
    "overview": READS,
    "wait_for_overview": READS,
    "people": READS,
    "gold": READS,
    "agreements": READS,
    "agreement": READS,
    "answers_of": READS,
    "add_labeler": add_labeler,
    "admit": admit,
    "revoke": revoke,
    "revoke_token": revoke_token,
    "change_role": change_role,
    "preview_exclusion": READS,
    "exclude": exclude,
    "reinstate": reinstate,
    "pull_cord": pull_as_owner,
    "release_cord": release_cord,
    "order_rollback": order_rollback,
    "make_gold": make_gold,
    "write_gold": write_gold,
    "edit_gold": edit_gold,
    "retire_gold": retire_gold,
    "bring_back_gold": bring_back_gold,
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
    PeopleSide: PEOPLE,
    OwnerSide: OWNER,
    IntakeFailures: FAILURES,
    LabelQueueShell: SHELL,
    Outposts: TOOLS,
}


@pytest.mark.parametrize("kind", TABLES)
def test_every_method_says_what_a_second_call_does(kind: type) -> None:
    check_table(kind, TABLES[kind])


ALL = {
    f"{kind.__name__}.{name}": table[name]
    for kind, table in TABLES.items()
    for name in scenarios(table)
}


@pytest.mark.parametrize("name", ALL)
async def test_a_second_call_finds_what_the_first_did(world: World, name: str) -> None:
    scenario: Scenario | None = ALL[name]
    assert scenario is not None
    await scenario(world)
