"""The guard over rewards that are fitted again after an exclusion."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from cluster.guards.config import GuardsConfig
from cluster.guards.evidence import Evidence
from cluster.guards.guards import Guards
from cluster.loops.journal import Journal
from cluster.loops.reward_guard import LEAST_COMPARED, RewardGuard
from cluster.metrics.hub import MetricsHub
from cluster.recordings.streams import Recordings
from cluster.run_folder import RunFolder
from learners.config import KLConfig
from protocol.cord import CordState
from protocol.errors import NotFinite, ScoringFailed, SwapTimedOut
from protocol.fits import FitRequest, RewardVersion
from protocol.messages import Score, ScoredRollout
from tests.support.labels import make_fit
from tests.support.memory_sink import MemorySink
from tests.support.messages import make_prompt, make_request, make_rollout, make_scored
from tests.support.metric_proofs import proves
from tests.support.parts import FakeLearner, FakeRewardService, FakeRewardTrainer
from tests.support.real_queue import LabelSide


def request(*, is_forced: bool = True, contaminated_from: int | None = 5) -> FitRequest:
    return replace(make_fit(), is_forced=is_forced, contaminated_from=contaminated_from)


class World:
    """A guard that is shown responses to four prompts: the tokens 0, 1, 2 and 3."""

    def __init__(self, folder: Path) -> None:
        self.service = FakeRewardService()
        self.people = LabelSide()
        self.learner = FakeLearner()
        self.sink = MemorySink()
        self.recordings = Recordings(folder)
        journal = Journal(self.recordings, MetricsHub([self.sink], lambda: 0.0), now=lambda: 1.0)
        guards = Guards(
            GuardsConfig(),
            KLConfig(),
            labels=self.people.loop,
            scorer=self.service,
            evidence=Evidence(RunFolder(folder)),
            tell=journal.guards_measured,
        )
        self.rescored: list[ScoredRollout] = []
        self.guard = RewardGuard(
            self.service,
            self.people.loop,
            self.learner,
            journal,
            guards,
            rescored=self.rescored.extend,
        )
        self.trainer = FakeRewardTrainer()
        self.told: list[int] = []

    def remember(self, count: int = LEAST_COMPARED) -> None:
        for number in range(count):
            prompt = replace(make_prompt(), token_ids=(number % 4,))
            whole = make_rollout(replace(make_request(number), prompt=prompt))
            self.guard.remember([make_scored(whole), make_scored(make_rollout(is_complete=False))])

    def score_by(self, old: Callable[[int], float], new: Callable[[int], float]) -> None:
        def value(version: int, sequence: Sequence[int]) -> float:
            return old(sequence[0]) if version == 0 else new(sequence[0])

        self.service.value = value

    async def tell(self, version: RewardVersion) -> None:
        self.told.append(version.version)

    async def cord(self) -> CordState:
        return await self.people.loop.cord()

    async def serve(self, fit: FitRequest) -> RewardVersion:
        version = await self.trainer.fit(fit)
        await asyncio.wait_for(self.guard.serve(version, fit, self.tell), 5)
        return version


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    made = World(tmp_path)
    yield made
    await made.people.close()
    made.recordings.close()


@proves("reward_model/correlation_after_exclusion")
async def test_a_reward_that_ranks_alike_is_gone_on_with(world: World) -> None:
    world.remember()
    world.score_by(lambda x: float(x), lambda x: 2.0 * x - 3)
    version = await world.serve(request())
    assert world.service.version == version.version == world.guard.least_version
    assert not (await world.cord()).is_pulled
    assert world.sink.alerts == []
    assert world.sink.rows == [
        {
            "time/wall_s": 0.0,
            "reward_model/version": 1,
            "reward_model/correlation_after_exclusion": pytest.approx(1.0),
        }
    ]


async def test_a_reward_that_moved_is_told_of(world: World) -> None:
    world.remember()
    # Deviations (−3, −1, 1, 3)/2 and (−3, 1, −1, 3)/2: 16 of 20.
    world.score_by(lambda x: float(x), lambda x: (0.0, 2.0, 1.0, 3.0)[x] + 0.001 * x)
    await world.serve(request())
    assert not (await world.cord()).is_pulled
    ((title, text),) = world.sink.alerts
    assert title == "the reward moved when labels were taken back"
    assert "correlates 0.80" in text
    assert "normalised anew" in text


async def test_a_reward_that_turned_stops_the_line_and_offers_the_last_clean_version(
    world: World,
) -> None:
    world.remember()
    world.score_by(lambda x: float(x), lambda x: -float(x))
    world.learner.newest = 9
    await world.serve(request(contaminated_from=5))
    cord = await world.cord()
    assert (cord.is_pulled, cord.pulled_by, cord.offered_rollback) == (True, "guard", 4)
    assert "correlation -1.00" in cord.reason


async def test_where_no_policy_was_contaminated_nothing_is_offered(world: World) -> None:
    world.remember()
    world.score_by(lambda x: float(x), lambda x: -float(x))
    await world.serve(request(contaminated_from=None))
    cord = await world.cord()
    assert (cord.is_pulled, cord.offered_rollback) == (True, None)


async def test_what_cannot_be_compared_stops_the_line(world: World) -> None:
    world.remember()

    async def refused(_: Sequence[Sequence[int]]) -> list[Score]:
        raise ScoringFailed("no replica answered")

    world.service.score = refused  # type: ignore[method-assign, assignment]
    await world.serve(request())
    assert "could not be compared" in (await world.cord()).reason


@pytest.mark.parametrize(
    ("is_forced", "count"), [(False, LEAST_COMPARED), (True, LEAST_COMPARED - 1), (True, 0)]
)
async def test_a_regular_fit_and_one_of_too_few_rollouts_are_not_judged(
    world: World, is_forced: bool, count: int
) -> None:
    world.remember(count)
    world.score_by(lambda x: float(x), lambda x: -float(x))
    await world.serve(request(is_forced=is_forced))
    assert world.service.version == 1
    assert not (await world.cord()).is_pulled
    assert world.sink.rows == []
    # What the older reward scored is not trained on after an exclusion, judged or not.
    assert world.guard.least_version == int(is_forced)


@proves("reward_model/correlation_on_recent", "cord/guard_trips")
async def test_any_version_that_goes_against_the_one_before_it_stops_the_line(world: World) -> None:
    world.remember(64)
    world.score_by(lambda x: float(x), lambda x: 5.0 - 2.0 * x)
    await world.serve(request(is_forced=False))
    cord = await world.cord()
    [reason] = cord.reasons
    assert (reason.actor, reason.guard) == ("guard", "reward_turned")
    assert "64 recent responses correlate at -1.00" in reason.reason
    rows = [{k: v for k, v in row.items() if k != "time/wall_s"} for row in world.sink.rows]
    assert rows == [
        {
            "reward_model/version": 1,
            "reward_model/correlation_on_recent": pytest.approx(-1.0),
        },
        {"cord/guard_trips": 1},
    ]


def count_scored(world: World) -> list[int]:
    """Return how many sequences each call scores from now on."""
    score, asked = world.service.score, []

    async def counted(sequences: Sequence[Sequence[int]]) -> list[Score]:
        asked.append(len(sequences))
        return await score(sequences)

    world.service.score = counted  # type: ignore[method-assign]
    return asked


@pytest.mark.parametrize(
    ("by_the_live_one", "by_others", "asked"),
    [(64, 1, [64]), (200, 30, [128]), (60, 10, [10, 64]), (60, 3, [])],
)
async def test_versions_are_compared_on_what_the_live_one_scored_in_any_case(
    world: World, by_the_live_one: int, by_others: int, asked: list[int]
) -> None:
    await world.serve(request(is_forced=False))
    for number in range(by_the_live_one + by_others):
        version = int(number < by_the_live_one)
        world.guard.remember([make_scored(value=0.25, reward_version=version)])
    world.service.value = lambda version, _: {1: 0.25, 2: 2.0}[version]
    counted = count_scored(world)
    await world.serve(replace(request(is_forced=False), ledger_seq=99))
    assert counted == asked
    scores = [(each.score.value, each.score.reward_version) for each in world.rescored]
    assert scores == [(2.0, 2)] * (asked[-1] if asked else 0)


async def test_a_version_is_told_of_before_it_is_compared_and_a_forced_refit_after(
    world: World,
) -> None:
    world.remember(64)
    score = world.service.score

    async def watched(sequences: Sequence[Sequence[int]]) -> list[Score]:
        if world.service.version == 1:
            assert world.told == [1]
        if world.service.version == 2:
            assert world.told == [1]
        return await score(sequences)

    world.service.score = watched  # type: ignore[method-assign]
    await world.serve(request(is_forced=False))
    await world.serve(request())
    assert world.told == [1, 2]


async def test_a_version_that_is_not_taken_lets_steps_go_on_and_says_so(world: World) -> None:
    async def refused(_: RewardVersion) -> None:
        raise NotFinite("reward version 1 scores the validation sequence as NaN")

    world.service.swap = refused  # type: ignore[method-assign, assignment]
    with pytest.raises(NotFinite):
        await world.serve(request())
    await asyncio.wait_for(world.guard.settled(), 5)
    assert world.guard.least_version == 0
    assert world.told == []


async def test_replicas_that_are_late_are_waited_for_once_more(world: World) -> None:
    swap, asked = world.service.swap, []

    async def late_once(version: RewardVersion) -> None:
        asked.append(version.version)
        if len(asked) == 1:
            raise SwapTimedOut("reward version 1 is not served by every replica")
        await swap(version)

    world.service.swap = late_once  # type: ignore[method-assign]
    await world.serve(request(is_forced=False))
    assert (asked, world.service.version) == ([1, 1], 1)


async def test_no_step_may_be_taken_while_it_is_not_settled(world: World) -> None:
    world.remember()
    swap = world.service.swap

    waits: list[asyncio.Future[int]] = []

    async def waiting_while_swapped(version: RewardVersion) -> None:
        waits.append(asyncio.ensure_future(world.guard.settled()))
        await swap(version)
        assert not waits[0].done()

    world.service.swap = waiting_while_swapped  # type: ignore[method-assign]
    await world.serve(request())
    assert await asyncio.wait_for(waits[0], 5) == 1


async def test_a_version_is_served_once_all_replicas_are_and_never_where_one_refused_it(
    world: World,
) -> None:
    served = await world.serve(request(is_forced=False))
    refused = replace(served, version=2)
    swap, may_end = world.service.swap, asyncio.Event()

    async def refuse(version: RewardVersion) -> None:
        await may_end.wait()
        raise NotFinite("the second replica scores NaN")

    world.service.swap = refuse  # type: ignore[method-assign]
    swapping = asyncio.ensure_future(
        world.guard.serve(refused, request(is_forced=False), world.tell)
    )
    asking = asyncio.ensure_future(world.guard.is_served(2))
    await asyncio.sleep(0.01)
    assert await world.guard.is_served(1)
    assert not asking.done()
    may_end.set()
    with pytest.raises(NotFinite):
        await swapping
    assert not await asking
    world.service.swap = swap  # type: ignore[method-assign]
    await world.guard.take_up(replace(served, version=3))
    assert [await world.guard.is_served(version) for version in (1, 2, 3, 4)] == [
        *(True, False, True, False)
    ]


async def test_of_what_was_scored_before_a_resume_only_the_version_served_then_counts(
    world: World,
) -> None:
    served = await world.trainer.fit(request())
    world.guard.resumed(replace(served, version=7))
    await world.guard.take_up(replace(served, version=10))
    assert [await world.guard.is_served(version) for version in (7, 8, 9, 10)] == [
        *(True, False, False, True)
    ]
