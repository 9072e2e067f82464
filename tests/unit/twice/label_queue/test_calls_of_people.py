"""What labelers and owners ask of the label queue, asked twice: the second finds the first one."""

from __future__ import annotations

import asyncio

import pytest

from label_queue.labeling.submissions import LabelAnswer, LabelSubmission
from label_queue.oversight.gold import GoldEdit
from label_queue.quality.gold_tasks import GoldTask
from label_queue.sides.owner import OwnerSide
from label_queue.sides.people import PeopleSide
from protocol.errors import InvalidLabel, Unauthenticated
from tests.support.messages import make_policy
from tests.support.people_contract import vouched_for
from tests.support.twice import READS, Scenario, Table, by_method, check_table
from tests.unit.label_queue.labeling import label
from tests.unit.twice.label_queue.conftest import World

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


async def stop_waiting(world: World) -> None:
    """What waits by that id ends, and what waits by another goes on."""
    waits = [
        asyncio.create_task(world.people.wait_for_task("ann", 60.0, f"wait-{number}"))
        for number in range(2)
    ]
    await asyncio.sleep(0)
    await world.same(lambda: world.people.stop_waiting("wait-0"))
    assert await waits[0] is None
    await world.fill()
    assert await waits[1] is not None


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
    "stop_waiting": stop_waiting,
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


async def undo(world: World) -> None:
    await world.fill()
    await label(world.queue, 3)
    done = await world.owner.exclude("ann", 1, "random")
    act = done.undoable or ""
    await world.twice(lambda: world.owner.undo("ann", act, "it was somebody else"))


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
    "undo": undo,
    "pull_cord": pull_as_owner,
    "release_cord": release_cord,
    "order_rollback": order_rollback,
    "make_gold": make_gold,
    "write_gold": write_gold,
    "edit_gold": edit_gold,
    "retire_gold": retire_gold,
    "bring_back_gold": bring_back_gold,
}
TABLES: dict[type, Table] = {
    PeopleSide: PEOPLE,
    OwnerSide: OWNER,
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
