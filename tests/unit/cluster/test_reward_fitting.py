"""Fits from being due to being served: refits in steps, updates between them, what catches up."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from cluster.recordings.streams import REWARDS, read
from label_queue.labeling.submissions import LabelSubmission, Span
from protocol.errors import DiskFull, NotFinite
from protocol.fits import FitRequest, RewardVersion
from protocol.labels import Submitted
from reward_service.config import MarksConfig
from tests.support.controller_world import BATCH, World, small_config
from tests.support.cord import release_shown
from tests.support.parts import FakeRewardTrainer
from tests.unit.cluster.conftest import MakeWorld

pytestmark = pytest.mark.timeout(60)

UPDATES = {"warm": {"every_labels": 4}}


class LongRefits(FakeRewardTrainer):
    """Its refits, but the first, take until two updates were fitted beside them."""

    def __init__(self) -> None:
        super().__init__()
        self.beside: list[FitRequest] = []
        """Updates fitted while a refit was worked on."""
        self._worked_on: FitRequest | None = None

    async def advance(self, request: FitRequest, num_steps: int) -> bool:
        await asyncio.sleep(0.001)
        if self.requests and request.ledger_seq < 30:
            self._worked_on = request
            return len(self.beside) >= 2
        return True

    async def fit(self, request: FitRequest) -> RewardVersion:
        if request.kind == "refit":
            self._worked_on = None
        elif self._worked_on is not None:
            self.beside.append(request)
        return await super().fit(request)


def online(make_world: MakeWorld, **run: object) -> World:
    return make_world(config=small_config(labels=UPDATES, episodes=6 * BATCH, **run))


async def test_updates_are_served_while_a_refit_is_worked_on(make_world: MakeWorld) -> None:
    world = online(make_world)
    world.trainer = trainer = LongRefits()
    await asyncio.wait_for(world.controller().run(), 30)
    assert len(trainer.beside) >= 2
    beside = {trainer.requests.index(request) + 1 for request in trainer.beside}
    assert beside <= set(world.service.served)
    refit = [request.kind for request in trainer.requests].index("refit", 1) + 1
    assert min(beside) < refit


async def test_what_came_during_a_refit_is_learned_before_it_is_served(
    make_world: MakeWorld,
) -> None:
    world = online(make_world)
    world.trainer = trainer = LongRefits()
    await asyncio.wait_for(world.controller().run(), 30)
    number = [request.kind for request in trainer.requests].index("refit", 1) + 1
    refit, update = trainer.requests[number - 1 : number + 1]
    assert (update.kind, update.goes_on_from) == ("warm", number)
    assert update.ledger_seq > refit.ledger_seq
    assert number not in world.service.served
    assert number + 1 in world.service.served
    assert [each.version for each in world.people.rewards] == list(
        range(1, len(trainer.requests) + 1)
    )


async def test_an_update_that_is_ordered_of_an_older_model_is_not_made(
    make_world: MakeWorld,
) -> None:
    world = online(make_world)
    world.trainer = trainer = LongRefits()
    await asyncio.wait_for(world.controller().run(), 30)
    for number, request in enumerate(trainer.requests):
        assert request.goes_on_from == (number if request.kind == "warm" else None)


@pytest.mark.parametrize("error", [NotFinite("the loss is nan"), DiskFull("no room")])
async def test_where_the_catching_up_is_broken_off_the_run_goes_on(
    make_world: MakeWorld, error: Exception
) -> None:
    world = online(make_world)

    class Breaks(LongRefits):
        num_broken, refit = 0, 0

        async def fit(self, request: FitRequest) -> RewardVersion:
            last = self.requests[-1:]
            follows = last and last[0].kind == "refit" and last[0].ledger_seq > 10
            if request.kind == "warm" and follows and not self.num_broken:
                self.num_broken += 1
                self.refit = len(self.requests)
                raise error
            return await super().fit(request)

    world.trainer = trainer = Breaks()
    pulled = told_when_pulled(world)
    running = asyncio.ensure_future(world.controller().run())
    if isinstance(error, NotFinite):
        await asyncio.wait_for(pulled.wait(), 10)
        await release_shown(world.people.queue, "looked into")
    await asyncio.wait_for(running, 30)
    assert world.progress[-1] == world.config.run.episodes
    assert trainer.refit in world.service.served  # without what it was to learn
    made = list(range(1, len(trainer.requests) + 1))
    assert [each.version for each in world.people.rewards] == made
    # What the ledger has, the run's rows and recordings have, once and in order; the run may end
    # while the last is noted.
    rows = [row for row in world.sink.rows if "reward_model/ledger_seq" in row]
    made = made[: max(len(made) - 1, len(rows))]
    assert [row["reward_model/version"] for row in rows] == made
    told = [each.version for each in read(world.folder.path, REWARDS)]
    assert list(dict.fromkeys(told))[: len(made)] == made


@pytest.mark.parametrize("kind", ["warm", "refit"])
async def test_a_version_that_no_replica_takes_is_offered_again_once_the_line_is_released(
    make_world: MakeWorld, kind: str
) -> None:
    world = online(make_world)
    swap, asked = world.service.swap, list[int]()
    pulled, pull_cord = asyncio.Event(), world.labels.pull_cord

    async def refused_once(version: RewardVersion) -> None:
        is_it = version.version > 2 and (kind == "warm") == (version.version == 3)
        if is_it and not asked:
            asked.append(version.version)
            raise NotFinite("the reward replica scores the validation sequence as NaN")
        await swap(version)

    async def pull_and_tell(*args: Any, **named: Any) -> None:
        await pull_cord(*args, **named)
        pulled.set()

    world.service.swap = refused_once  # type: ignore[method-assign]
    world.labels.pull_cord = pull_and_tell  # type: ignore[method-assign]
    world.trainer = LongRefits()
    running = asyncio.ensure_future(world.controller().run())
    await asyncio.wait_for(pulled.wait(), 10)
    await asyncio.sleep(0.05)
    assert world.service.version < asked[0]
    await release_shown(world.people.queue, "looked into")
    await asyncio.wait_for(running, 30)
    assert asked[0] in world.service.served
    assert world.progress[-1] == world.config.run.episodes


def told_when_pulled(world: World) -> asyncio.Event:
    """Return an event that is set once the cord was pulled."""
    pulled, pull_cord = asyncio.Event(), world.labels.pull_cord

    async def pull_and_tell(*args: Any, **named: Any) -> None:
        await pull_cord(*args, **named)
        pulled.set()

    world.labels.pull_cord = pull_and_tell  # type: ignore[method-assign]
    return pulled


class Refusing(LongRefits):
    """The first update that a refit is caught up with is refused by its service."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._service, self._swap = world.service, world.service.swap
        self.withdrawn = world.service.withdrawn
        world.service.swap = self.swap  # type: ignore[method-assign]
        self.refused: list[int] = []
        """A refit and the update of it."""

    async def swap(self, version: RewardVersion) -> None:
        if not self.refused and version.kind == "warm" and self._is_refit(version.version - 1):
            self.refused = [version.version - 1, version.version]
            error = NotFinite("the reward replica scores the validation sequence as NaN")
            await self._service.withdraw(version, error)
        await self._swap(version)

    def _is_refit(self, number: int) -> bool:
        return number > 1 and self.requests[number - 1].kind == "refit"


async def test_where_no_replica_takes_what_a_refit_was_caught_up_with_both_are_left_behind(
    make_world: MakeWorld,
) -> None:
    world = online(make_world)
    world.trainer = trainer = Refusing(world)
    pulled = told_when_pulled(world)
    running = asyncio.ensure_future(world.controller().run())
    await asyncio.wait_for(pulled.wait(), 10)
    assert sorted(world.service.withdrawn) == trainer.refused
    await release_shown(world.people.queue, "looked into")
    await asyncio.wait_for(running, 30)
    assert world.progress[-1] == world.config.run.episodes
    told = [each.version for each in world.people.rewards]
    assert not set(told) & set(trainer.refused)
    assert max(told) > max(trainer.refused)
    assert max(world.service.served) == max(told)


async def test_what_one_replica_scored_by_a_version_that_another_refused_is_scored_anew(
    make_world: MakeWorld,
) -> None:
    world = make_world()
    service, swap, asked = world.service, world.service.swap, list[int]()
    world.trainer.withdrawn = service.withdrawn

    def value(version: int, sequence: Sequence[int]) -> float:
        asked.append(version)
        return 0.1

    service.value = value

    async def half_taken(version: RewardVersion) -> None:
        if version.version != 2:
            await swap(version)
            return
        service.version = 2  # of one replica
        for _ in range(400):
            await asyncio.sleep(0)
        service.version, service.withdrawn[2] = 1, NotFinite("the other replica scores NaN")
        raise service.withdrawn[2]

    service.swap = half_taken  # type: ignore[method-assign]
    pulled = told_when_pulled(world)
    running = asyncio.ensure_future(world.controller().run())
    await asyncio.wait_for(pulled.wait(), 10)
    await release_shown(world.people.queue, "looked into")
    await asyncio.wait_for(running, 30)
    used = {batch.reward_version for batch in world.learner.batches}
    assert 2 in asked
    assert 2 not in used
    assert max(used) > 2


@pytest.mark.parametrize("marks", [None, MarksConfig()], ids=["no head", "a head"])
async def test_marks_are_asked_of_a_trainer_that_has_a_head_for_them_alone(
    make_world: MakeWorld, marks: MarksConfig | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without one, runs whose labels differ in their marks alone are asked for the same fits."""
    config = small_config(labels=UPDATES)
    model = config.reward_model.model_copy(update={"marks": marks})
    world = make_world(config=config.model_copy(update={"reward_model": model}))
    people = world.people.queue.people
    submit = people.submit

    async def marking(labeler_id: str, given: Sequence[LabelSubmission]) -> object:
        return await submit(labeler_id, [marked(each) for each in given])

    monkeypatch.setattr(people, "submit", marking)
    await asyncio.wait_for(world.controller().run(), 30)
    assert {request.kind for request in world.trainer.requests} == {"refit", "warm"}
    asked = {bool(each.marks) for request in world.trainer.requests for each in request.comparisons}
    assert asked == {marks is not None}
    events = world.people.ledger.events()
    assert all(event.spans for event in events if isinstance(event, Submitted))


def marked(given: LabelSubmission) -> LabelSubmission:
    assert given.choice is not None
    return replace(given, spans=(Span(candidate_id=given.choice, start=0, end=4, mark="good"),))
