"""A controller whose learner and engines have one GPU in turns: the order of all they do."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from cluster.config_file import parse_config
from protocol.errors import ActorDied
from protocol.messages import ExperienceBatch, StepReport
from tests.support.controller_world import BATCH, World, small_config
from tests.support.cord import release_shown
from tests.support.one_thread import settle
from tests.support.parts import FakeActor
from tests.unit.cluster.conftest import MakeWorld
from tests.unit.cluster.test_controller_nan import nan_in_step

pytestmark = pytest.mark.timeout(60)

OF_LEARNER = {"steps", "keeps", "restores", "resumes", "saves"}


class Watched:
    """Who is awake; refuses, as it comes, what may not be."""

    def __init__(self, world: World) -> None:
        self.notes: list[str] = []
        self.awake = {f"actor {n}" for n, _ in enumerate(world.actors)}
        self.drawing = 0
        self.refused: list[str] = []
        world.learner.note = self.of_learner
        world.learner.is_resting = True  # as placement starts it
        for number, actor in enumerate(world.actors):
            actor.note = lambda what, who=f"actor {number}": self.of_actor(who, what)  # type: ignore[misc]

    def of_actor(self, who: str, what: str) -> None:
        self.notes.append(f"{who} {what}")
        match what:
            case "draws":
                self.drawing += 1
                self._refuse_unless(who in self.awake and "learner" not in self.awake)
            case "drew":
                self.drawing -= 1
            case "is to rest":
                self._refuse_unless(not self.drawing and "learner" not in self.awake)
            case "rests":
                self.awake.discard(who)
            case "wakes":
                self._refuse_unless("learner" not in self.awake)
                self.awake.add(who)

    def of_learner(self, what: str) -> None:
        self.notes.append(what)
        match what:
            case "learner wakes":
                self._refuse_unless(not self.awake)
                self.awake.add("learner")
            case "learner rests":
                self.awake.discard("learner")
            case _:
                assert what in OF_LEARNER
                self._refuse_unless(self.awake == {"learner"})

    def _refuse_unless(self, holds: bool) -> None:
        if not holds:
            self.refused.append(f"{self.notes[-1]} while {sorted(self.awake)} are awake")


def turns_config(**changes: Any) -> Any:
    content = small_config(max_policy_lag=0).model_dump(mode="json", exclude_none=True)
    content["cluster"] |= {
        "colocation": "turns",
        "gpus_per_actor": 0.25,
        "gpus_per_learner_rank": 0.5,
    }
    content["learner"]["zero_stage"] = 2
    return parse_config({**content, **changes}, "test")


@pytest.fixture
async def world(make_world: MakeWorld) -> World:
    return make_world(config=turns_config())


async def run(world: World) -> None:
    controller = world.controller()
    await controller.draw_reference()
    await asyncio.wait_for(controller.run(), 30)


async def test_engines_rest_while_the_learner_works_and_it_while_they_draw(world: World) -> None:
    watched = Watched(world)
    await run(world)
    assert watched.refused == []
    assert [batch.step for batch in world.learner.batches] == [0, 1, 2, 3, 4]
    # A turn for each step, and one for the first checkpoint and the last.
    assert watched.notes.count("learner wakes") == watched.notes.count("actor 0 rests") == 7
    loads = [note for note in watched.notes if note.startswith("actor 0 loads")]
    assert loads == [f"actor 0 loads {version}" for version in range(1, len(loads) + 1)]
    assert len(loads) >= 4  # the last version is for nobody
    for batch in world.learner.batches:
        for each in batch.rollouts:
            assert set(each.rollout.policy_versions) == {batch.step}


async def test_a_step_that_met_nan_leaves_the_engines_free_to_draw(world: World) -> None:
    watched = Watched(world)
    nan_in_step(world, 3)
    controller = world.controller()
    await controller.draw_reference()
    running = asyncio.ensure_future(controller.run())
    await settle()
    assert world.learner.restored == [2]
    assert {actor.version for actor in world.actors} == {4}
    assert watched.awake == {"actor 0", "actor 1"}  # under the cord, for what people compare
    await release_shown(world.people.queue, "the batch was odd")
    await asyncio.wait_for(running, 30)
    assert watched.refused == []
    assert world.progress[-1] == 5 * BATCH


async def test_a_step_that_fails_ends_the_run_and_what_is_left_can_be_saved(world: World) -> None:
    watched = Watched(world)

    async def failing(batch: ExperienceBatch) -> StepReport:
        watched.of_learner("steps")
        raise ActorDied("the learner died")

    world.learner.step = failing  # type: ignore[method-assign]
    controller = world.controller()
    await controller.draw_reference()
    with pytest.raises(ExceptionGroup) as caught:
        await asyncio.wait_for(controller.run(), 30)
    assert caught.group_contains(ActorDied)
    await controller._parts.learner.save("final")  # type: ignore[attr-defined]
    assert world.learner.saved == ["final"]
    assert watched.refused == []


async def test_what_people_compare_is_drawn_in_the_engines_turn(make_world: MakeWorld) -> None:
    world = make_world(FakeActor(), config=turns_config())
    watched = Watched(world)
    await run(world)
    assert watched.refused == []
    purposes = {each.purpose for each in world.actors[0].requests}
    assert purposes >= {"train", "query"}
