"""Ranks that die: the first error that says why is raised, and the reward trainer begins anew."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cluster.starting import ranks as ranks_module
from cluster.starting.ranks import RankGroup
from cluster.starting.remote import RemoteRewardTrainer
from cluster.supervision.config import RestartsConfig
from cluster.supervision.restarts import Restarts
from learners.shell import RewardTrainerRank
from protocol.errors import ActorDied, InputError, NotFinite, TooManyRestarts
from protocol.fits import FitRequest, RewardVersion
from protocol.remote import Remote
from tests.support.labels import make_fit
from tests.support.parts import FakeRewardTrainer

pytestmark = pytest.mark.timeout(10)

SEQUENCES = [[1, 2], [3]]
Answer = Callable[[], Any]


class Rank:
    """A handle of a rank, whose answers the test gives, each a coroutine as on Ray."""

    def __init__(self, **answers: Answer) -> None:
        self.calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
        self.is_killed = False
        self.answers = answers

    def __getattr__(self, method: str) -> Any:
        return _Method(self, method)

    async def call(self, method: str, *args: Any, **kwargs: Any) -> Any:
        self.calls.append((method, args, kwargs))
        answer = self.answers.get(method, lambda: None)()
        return await answer if asyncio.iscoroutine(answer) else answer


class _Method:
    def __init__(self, rank: Rank, method: str) -> None:
        self._rank = rank
        self._method = method

    def remote(self, *args: Any, **kwargs: Any) -> Any:
        return self._rank.call(self._method, *args, **kwargs)


def raising(error: Exception) -> Answer:
    def answer() -> None:
        raise error

    return answer


async def never() -> None:
    await asyncio.Event().wait()


def group(*ranks: Rank, timeout_s: float = 60.0) -> RankGroup[RewardTrainerRank]:
    return RankGroup([Remote(rank, "the reward trainer") for rank in ranks], timeout_s)


@pytest.fixture(autouse=True)
def _kill(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranks_module, "DEATH_IS_TOLD_S", 0.05)
    monkeypatch.setattr("ray.kill", lambda rank: setattr(rank, "is_killed", True))


async def test_a_death_is_raised_though_the_others_wait_for_ever() -> None:
    ranks = group(Rank(fit=never), Rank(fit=raising(ActorDied("the reward trainer died"))))
    with pytest.raises(ActorDied):
        await ranks.ask(RewardTrainerRank.fit, make_fit())


async def test_a_death_goes_before_what_a_neighbour_says_of_its_collective() -> None:
    async def told_later() -> None:
        await asyncio.sleep(0.01)
        raise ActorDied("the reward trainer died")

    ranks = group(
        Rank(fit=raising(RuntimeError("Connection closed by peer"))), Rank(fit=told_later)
    )
    with pytest.raises(ActorDied):
        await ranks.ask(RewardTrainerRank.fit, make_fit())


async def test_a_fault_without_a_death_is_itself() -> None:
    ranks = group(Rank(fit=raising(RuntimeError("a bug"))), Rank(fit=never))
    with pytest.raises(RuntimeError, match="a bug"):
        await ranks.ask(RewardTrainerRank.fit, make_fit())


class World:
    """A reward trainer of two ranks, whose bundles outlive them."""

    def __init__(self, root: Path, *, max_restarts: int = 10, timeout_s: float = 60.0) -> None:
        self.root = root
        self.placed: list[tuple[Rank, Rank]] = []
        self.fits: list[Answer] = []
        """What rank 1 does at each fit to come, of whatever group; else it agrees."""
        self.starts: list[Answer] = []
        self.told: list[str] = []
        self._published = FakeRewardTrainer()
        self._is_missed = False
        """Whether rank 1 does something else than to agree at this fit."""
        restarts = Restarts(
            RestartsConfig(max_restarts=max_restarts, first_pause_s=0.001),
            lambda part, cause: self.told.append(f"{part}: {cause}"),
        )
        self._timeout_s = timeout_s
        self.trainer = RemoteRewardTrainer(self._place, root, restarts)

    def _place(self) -> RankGroup[RewardTrainerRank]:
        first = Rank(address=lambda: ("127.0.0.1", 1))
        second = Rank(
            advance=lambda: self.fits.pop(0)() if self.fits else None,
            fit=self._other_fit,
            start=lambda: self.starts.pop(0)() if self.starts else None,
        )
        first.answers["fit"] = lambda: self._fit(first)
        first.answers["advance"] = lambda: first.calls[-1][1][0] >= 3
        self.placed.append((first, second))
        return group(first, second, timeout_s=self._timeout_s)

    async def _fit(self, rank: Rank) -> RewardVersion:
        request: FitRequest = rank.calls[-1][1][0]
        await asyncio.sleep(0.01)  # the other rank has been asked by now
        if self._is_missed:
            await never()  # in a collective, to which the other does not come
        version = await self._published.fit(request)
        (self.root / f"v{version.version:06d}").mkdir(parents=True, exist_ok=True)
        return version

    def _other_fit(self) -> Any:
        self._is_missed = bool(self.fits)
        return self.fits.pop(0)() if self.fits else None

    def starts_of(self, number: int) -> list[Any]:
        """Where each start of both ranks of a group went on from."""
        return [
            (args[2], kwargs["resume_from"])
            for rank in self.placed[number]
            for method, args, kwargs in rank.calls
            if method == "start"
        ]


DEAD = ActorDied("the reward trainer died")


async def test_a_rank_that_dies_in_a_fit_ends_all_and_new_ones_do_the_same_fit(
    tmp_path: Path,
) -> None:
    world = World(tmp_path / "reward")
    await world.trainer.start(SEQUENCES)
    await world.trainer.fit(make_fit(ledger_seq=10))
    world.fits = [raising(DEAD), raising(DEAD)]
    version = await world.trainer.fit(make_fit("warm", ledger_seq=14))
    assert version.version == 2
    assert world.told == ["the reward trainer: the reward trainer died"] * 2
    assert [[rank.is_killed for rank in each] for each in world.placed] == [
        *([True, True], [True, True]),
        [False, False],
    ]
    assert world.starts_of(0) == [(SEQUENCES, None)] * 2
    assert world.starts_of(2) == [(SEQUENCES, world.root / "v000001")] * 2
    # The fit the ranks died in had come to its end on disk, or not: the request is the same.
    asked = [rank.calls[-1] for rank in world.placed[2]]
    assert asked == [("fit", (make_fit("warm", ledger_seq=14),), {})] * 2


async def test_ranks_that_die_while_they_start_are_started_again(tmp_path: Path) -> None:
    world = World(tmp_path / "reward")
    world.starts = [raising(DEAD)]
    await world.trainer.start(SEQUENCES)
    assert len(world.placed) == 2
    assert (await world.trainer.fit(make_fit())).version == 1


async def test_a_fit_that_does_not_end_is_given_up(tmp_path: Path) -> None:
    world = World(tmp_path / "reward", timeout_s=0.05)
    await world.trainer.start(SEQUENCES)
    world.fits = [never]
    assert (await world.trainer.fit(make_fit())).version == 1
    assert world.told == [
        "the reward trainer: the run waited 0.05 s for the reward trainer to fit, and takes it "
        "for dead"
    ]
    assert world.placed[0][0].is_killed


@pytest.mark.parametrize("error", [NotFinite("the loss is nan"), InputError("no comparisons")])
async def test_what_the_ranks_say_of_a_fit_ends_nobody(tmp_path: Path, error: Exception) -> None:
    world = World(tmp_path / "reward")
    await world.trainer.start(SEQUENCES)
    world.fits = [raising(error)]
    with pytest.raises(type(error)):
        await world.trainer.fit(make_fit())
    assert len(world.placed) == 1
    assert not world.told


async def test_ranks_that_die_too_often_end_the_run(tmp_path: Path) -> None:
    world = World(tmp_path / "reward", max_restarts=1)
    await world.trainer.start(SEQUENCES)
    world.fits = [raising(DEAD), raising(DEAD)]
    with pytest.raises(TooManyRestarts, match="the reward trainer was started again 1 times"):
        await world.trainer.fit(make_fit())


async def test_dead_ranks_have_nothing_to_stop(tmp_path: Path) -> None:
    world = World(tmp_path / "reward")
    world.placed[0][0].answers["stop"] = raising(DEAD)
    await world.trainer.stop()


async def test_a_refit_goes_to_the_ranks_once_and_begins_anew_with_new_ones(tmp_path: Path) -> None:
    world = World(tmp_path / "reward")
    await world.trainer.start(SEQUENCES)
    refit = make_fit(ledger_seq=20)
    assert not await world.trainer.advance(refit, 1)
    assert not await world.trainer.advance(refit, 2)
    world.fits = [raising(DEAD)]
    assert await world.trainer.advance(refit, 3)
    assert [_advances(rank) for rank in world.placed[0]] == [[(1, refit), (2, None), (3, None)]] * 2
    assert [_advances(rank) for rank in world.placed[1]] == [[(3, refit)]] * 2


async def test_an_update_waits_for_the_step_of_a_refit_and_not_for_the_refit(
    tmp_path: Path,
) -> None:
    world = World(tmp_path / "reward")
    await world.trainer.start(SEQUENCES)
    await world.trainer.fit(make_fit(ledger_seq=10))
    goes_on = asyncio.Event()
    first = world.placed[0][0]

    async def step() -> bool:
        await goes_on.wait()
        return False

    first.answers["advance"] = step
    step_of_refit = asyncio.create_task(world.trainer.advance(make_fit(ledger_seq=20), 1))
    update = asyncio.create_task(world.trainer.fit(make_fit("warm", ledger_seq=14)))
    await asyncio.sleep(0.05)
    assert first.calls[-1][0] == "advance"
    goes_on.set()
    assert not await step_of_refit
    assert (await update).version == 2


def _advances(rank: Rank) -> list[Any]:
    return [args for method, args, _ in rank.calls if method == "advance"]
