from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Iterator

import pytest

from protocol.errors import InputError, NotFinite, ScoringFailed, SwapTimedOut
from protocol.fits import RewardVersion
from protocol.messages import Score
from reward_service.client import RewardClient
from reward_service.config import RewardServiceConfig
from tests.support.parts import FakeRewardService
from tests.support.reward import make_reward_version
from tests.support.reward_service_contract import RewardServiceContract, SilentScorerContract

CONFIG = RewardServiceConfig(
    replicas=2, max_batch_size=4, max_ongoing_requests=8, max_batch_tokens=100, retries=2
)
Request = list[tuple[int, ...]]


class Backend:
    """Answers requests from a fake service; `faults` are raised first, one a request."""

    def __init__(self, *faults: BaseException) -> None:
        self.service = FakeRewardService()
        self.service.version = 1
        self.service.value = lambda version, sequence: sum(sequence) / 100 - version
        self.faults = list(faults)
        self.requests: list[Request] = []
        self.pauses: list[float] = []

    async def submit(self, request: Request) -> list[Score]:
        self.requests.append(request)
        if self.faults:
            raise self.faults.pop(0)
        return await self.service.score(request)

    async def announce(self, version: RewardVersion) -> None:
        await self.service.swap(version)

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)

    def client(self, config: RewardServiceConfig = CONFIG) -> RewardClient:
        return RewardClient(
            submit=self.submit,
            announce=self.announce,
            withdraw=self.service.withdraw,
            config=config,
            rng=random.Random(0),
            sleep=self.sleep,
        )


class TestRewardClient(RewardServiceContract, of=RewardClient):
    @pytest.fixture
    def scorer(self) -> RewardClient:
        return Backend().client()

    @pytest.fixture
    def announced(self) -> Iterator[RewardVersion]:
        return map(make_reward_version, itertools.count(2))


class TestRewardClientOfSilentReplicas(SilentScorerContract, of=RewardClient):
    @pytest.fixture
    def silent(self) -> RewardClient:
        return Backend(*(ScoringFailed("replica lost") for _ in range(99))).client()


async def test_every_replica_gets_work_within_the_batch_limits() -> None:
    backend = Backend()
    await backend.client().score([(n,) for n in range(4)])
    assert [len(request) for request in backend.requests] == [2, 2]
    backend.requests.clear()
    await backend.client().score([(n,) for n in range(20)])
    assert [len(request) for request in backend.requests] == [4] * 5
    backend.requests.clear()
    await backend.client().score([(1,) * 60, (2,) * 60])
    assert [len(request) for request in backend.requests] == [1, 1]


async def test_what_may_pass_is_tried_again_after_a_pause() -> None:
    backend = Backend(ScoringFailed("replica lost"), TimeoutError())
    scores = await backend.client().score([(1,), (2,)])
    assert [score.value for score in scores] == pytest.approx([-0.99, -0.98])
    assert len(backend.requests) == 4
    assert len(backend.pauses) == 1
    assert 0 <= backend.pauses[0] <= 0.1


async def test_a_score_that_never_comes_is_an_error_and_not_zero() -> None:
    backend = Backend(*(ScoringFailed("replica lost") for _ in range(9)))
    with pytest.raises(ScoringFailed, match="1 of 1 requests got no score"):
        await backend.client().score([(1,)])
    assert len(backend.requests) == 3


@pytest.mark.parametrize("error", [NotFinite("NaN"), InputError("too long")])
async def test_what_cannot_pass_is_not_tried_again(error: Exception) -> None:
    backend = Backend(error)
    with pytest.raises(type(error)):
        await backend.client().score([(1,)])
    assert len(backend.requests) == 1


async def test_a_call_is_answered_by_one_version_though_a_swap_goes_by() -> None:
    backend = Backend()
    submit = backend.submit

    async def swap_after_the_first(request: Request) -> list[Score]:
        answer = await submit(request)
        backend.service.version = 2
        return answer

    backend.submit = swap_after_the_first  # type: ignore[method-assign]
    scores = await backend.client().score([(1,), (2,), (3,)])
    assert {score.reward_version for score in scores} == {2}
    assert [score.value for score in scores] == pytest.approx([-1.99, -1.98, -1.97])


async def test_a_replica_that_missed_a_swap_is_not_believed() -> None:
    backend = Backend()

    async def taken_by_all_that_spoke(version: RewardVersion) -> None:
        backend.service.served.append(version.version)

    backend.announce = taken_by_all_that_spoke  # type: ignore[method-assign]
    client = backend.client()
    await client.swap(make_reward_version(3))
    backend.service.version = 2  # of one that the swap did not wait for
    with pytest.raises(ScoringFailed, match="no score of one reward version in 3 attempts"):
        await client.score([(1,)])

    async def until_it_has_heard(seconds: float) -> None:
        backend.service.version = 3

    backend.sleep = until_it_has_heard  # type: ignore[method-assign]
    client = backend.client()
    await client.swap(make_reward_version(3))
    backend.service.version = 2
    assert [score.reward_version for score in await client.score([(1,), (2,)])] == [3, 3]


async def test_a_service_that_lost_all_that_knew_the_version_is_told_of_it_again() -> None:
    backend = Backend()
    client = backend.client()
    await client.swap(make_reward_version(3))
    backend.service.version = 1  # what it was started with
    assert [score.reward_version for score in await client.score([(1,), (2,)])] == [3, 3]


async def test_a_service_that_takes_no_version_again_is_waited_for_no_longer_than_an_attempt() -> (
    None
):
    backend = Backend()
    client = backend.client(CONFIG.model_copy(update={"timeout_s": 0.001}))
    await client.swap(make_reward_version(3))
    backend.service.version = 1
    asked: list[int] = []

    async def never(version: RewardVersion) -> None:
        asked.append(version.version)
        await asyncio.Event().wait()

    backend.announce = client._announce = never  # type: ignore[method-assign]
    with pytest.raises(ScoringFailed):
        await client.score([(1,)])
    assert asked == [3, 3, 3]


async def test_what_was_swapped_in_meanwhile_is_not_taken_back() -> None:
    backend = Backend()
    client = backend.client()
    await client.swap(make_reward_version(3))
    backend.faults = [ScoringFailed("replica lost")]
    backend.service.version = 4  # by another client: to announce version 3 again is refused
    assert [score.reward_version for score in await client.score([(1,)])] == [4]


async def test_a_silent_replica_is_given_up_in_time() -> None:
    backend = Backend()

    async def never(request: Request) -> list[Score]:
        backend.requests.append(request)
        await asyncio.Event().wait()
        return []

    backend.submit = never  # type: ignore[method-assign]
    config = CONFIG.model_copy(update={"timeout_s": 0.001, "retries": 1})
    with pytest.raises(ScoringFailed):
        await backend.client(config).score([(1,)])
    assert len(backend.requests) == 2


async def test_a_swap_that_hangs_says_so() -> None:
    backend = Backend()

    async def never(version: RewardVersion) -> None:
        await asyncio.Event().wait()

    backend.announce = never  # type: ignore[method-assign]
    config = CONFIG.model_copy(update={"swap_timeout_s": 0.001})
    with pytest.raises(SwapTimedOut, match="version 2 is not served"):
        await backend.client(config).swap(make_reward_version(2))


async def test_a_replica_that_took_what_another_refused_is_not_believed() -> None:
    backend = Backend()
    client, swap = backend.client(), backend.service.swap

    async def half_taken(version: RewardVersion) -> None:
        backend.service.version = version.version  # on the one that answers
        raise NotFinite("another scores NaN")

    backend.service.swap = half_taken  # type: ignore[method-assign]
    with pytest.raises(NotFinite):
        await client.swap(make_reward_version(2))
    with pytest.raises(ScoringFailed):
        await client.score([(1, 2)])
    backend.service.version = 1  # it has gone back
    (score,) = await client.score([(1, 2)])
    assert score.reward_version == 1
    backend.service.swap = swap  # type: ignore[method-assign]
    await client.swap(make_reward_version(3))
    (score,) = await client.score([(1, 2)])
    assert score.reward_version == 3
