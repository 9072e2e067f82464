"""What is done about an error, and how often a part may be started again."""

from __future__ import annotations

import inspect
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.supervision.config import RestartsConfig
from cluster.supervision.decision import Decision, decide
from cluster.supervision.restarts import Restarts
from protocol import errors
from protocol.errors import (
    ActorDied,
    AndonError,
    DeploymentFailed,
    EngineDied,
    LabelerDied,
    LabelerFailed,
    MemoryShort,
    PartFailed,
    ProbeMismatch,
    ScoringFailed,
    SwapFailed,
    SwapTimedOut,
    TooManyRestarts,
    TransientError,
    WeightsGone,
    WeightsNotTaken,
)

REPLACED = {PartFailed, ActorDied, EngineDied, LabelerDied, MemoryShort}
RETRIED = {TransientError, ScoringFailed, SwapTimedOut}
ALL = [
    each for _, each in inspect.getmembers(errors, inspect.isclass) if issubclass(each, AndonError)
]


@pytest.mark.parametrize("error", [*ALL, ValueError, MemoryError], ids=lambda each: each.__name__)
def test_every_error_has_its_decision(error: type[Exception]) -> None:
    wanted = (
        Decision.REPLACE
        if error in REPLACED
        else Decision.RETRY
        if error in RETRIED
        else Decision.STOP
    )
    assert decide(error("it")) is wanted


def test_memory_that_was_short_twice_will_be_short_again() -> None:
    assert decide(MemoryShort("it"), [ActorDied("it")]) is Decision.REPLACE
    assert decide(MemoryShort("it"), [MemoryShort("it"), ActorDied("it")]) is Decision.STOP
    assert decide(ActorDied("it"), [MemoryShort("it")]) is Decision.REPLACE


class Account:
    """Restarts on a clock that the test moves, and that pauses move."""

    def __init__(self, **config: Any) -> None:
        self.now = 0.0
        self.pauses: list[float] = []
        self.told: list[tuple[str, str]] = []
        self.restarts = Restarts(
            RestartsConfig(**config),
            lambda part, cause: self.told.append((part, str(cause))),
            now=lambda: self.now,
            sleep=self._sleep,
            rng=random.Random(1),
        )

    async def _sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


async def test_each_restart_is_told_and_counted_by_part() -> None:
    account = Account()
    await account.restarts.allow("actor 0", ActorDied("0 died"))
    await account.restarts.allow("actor 1", EngineDied("1 died"))
    await account.restarts.allow("actor 0", ActorDied("0 died again"))
    assert account.told == [
        ("actor 0", "0 died"),
        ("actor 1", "1 died"),
        ("actor 0", "0 died again"),
    ]
    assert account.restarts.counts == {"actor 0": 2, "actor 1": 1}


@pytest.mark.parametrize(
    "error",
    [
        ProbeMismatch("it"),
        DeploymentFailed("it"),
        LabelerFailed("it"),
        SwapFailed("it"),
        WeightsNotTaken("it"),
        WeightsGone("it"),
        ScoringFailed("it"),
        ValueError("it"),
    ],
    ids=lambda each: type(each).__name__,
)
async def test_what_a_restart_does_not_mend_is_raised_as_it_is(error: Exception) -> None:
    account = Account()
    with pytest.raises(type(error)) as raised:
        await account.restarts.allow("actor 0", error)
    assert raised.value is error
    assert not account.told
    assert not account.restarts.counts


@pytest.mark.parametrize("error", [WeightsNotTaken("nobody came"), WeightsGone("nobody has them")])
async def test_what_has_no_learner_any_more_is_mended_by_all_parts_alone(error: Exception) -> None:
    account = Account()
    with pytest.raises(type(error)):
        await account.restarts.allow("actor 0", error)
    await account.restarts.allow("the run", error, is_whole=True)
    with pytest.raises(TooManyRestarts):
        await account.restarts.allow("the run", TooManyRestarts("again"), is_whole=True)


async def test_past_the_limit_the_first_cause_says_how_often_and_of_what() -> None:
    account = Account(max_restarts=2, window_s=100.0)
    await account.restarts.allow("actor 0", EngineDied("the engine died"))
    await account.restarts.allow("actor 0", ActorDied("it died"))
    with pytest.raises(TooManyRestarts) as raised:
        await account.restarts.allow("actor 0", ActorDied("it died again"))
    assert str(raised.value) == (
        "the engine died; actor 0 was started again 2 times within 100 s and failed each time "
        "(1× EngineDied, 2× ActorDied), at last: it died again"
    )
    await account.restarts.allow("actor 1", ActorDied("another has its own account"))


async def test_the_limit_holds_for_a_window() -> None:
    account = Account(max_restarts=1, window_s=100.0)
    await account.restarts.allow("actor 0", ActorDied("first"))
    account.now = 100.5
    await account.restarts.allow("actor 0", ActorDied("second"))
    with pytest.raises(TooManyRestarts, match=r"^second; actor 0 was started again 1 times"):
        await account.restarts.allow("actor 0", ActorDied("third"))


async def test_with_no_restarts_a_death_is_what_it_is() -> None:
    account, error = Account(max_restarts=0), ActorDied("it died")
    with pytest.raises(ActorDied) as raised:
        await account.restarts.allow("actor 0", error)
    assert raised.value is error


@given(
    first=st.floats(0.01, 10.0),
    longest=st.floats(0.01, 100.0),
    gaps=st.lists(st.floats(0.0, 50.0), max_size=30),
    limit=st.integers(1, 5),
)
async def test_pauses_double_up_to_the_longest_and_no_window_holds_more_than_the_limit(
    first: float, longest: float, gaps: list[float], limit: int
) -> None:
    window_s = 60.0
    account = Account(
        max_restarts=limit, window_s=window_s, first_pause_s=first, longest_pause_s=longest
    )
    allowed: list[float] = []
    for gap in gaps:
        account.now += gap
        at = account.now
        recent = [each for each in allowed if each > at - window_s]
        try:
            await account.restarts.allow("actor 0", ActorDied("it died"))
        except TooManyRestarts:
            assert len(recent) == limit
            continue
        allowed.append(at)
        assert len(recent) < limit
        most = min(longest, first * 2 ** len(recent))
        assert most / 2 <= account.pauses[-1] <= most
    assert account.restarts.counts["actor 0"] == len(account.told) == len(allowed)
