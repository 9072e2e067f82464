"""What every rollout actor promises: the fake, the worker, and the actor in its own process."""

from __future__ import annotations

import asyncio
import itertools
from abc import abstractmethod
from collections.abc import Iterator

import pytest

from protocol.errors import ProbeMismatch, VersionError
from protocol.messages import PolicyVersion, Prompt, RolloutRequest, Sampling
from protocol.ports import RolloutActor
from tests.support.contract import Contract

_NUMBERS = itertools.count()


def requests(count: int) -> list[RolloutRequest]:
    """New ones: no two of a test run have the same id."""
    return [
        RolloutRequest(
            rollout_id=f"t-{number:06d}",
            prompt=Prompt(prompt_id=f"p-{number}", text="", token_ids=(5, 6, 7)),
            purpose="train",
            sampling=Sampling(temperature=1.0, max_tokens=8),
        )
        for number in itertools.islice(_NUMBERS, count)
    ]


class RolloutActorContract(Contract):
    """Subclasses give an `actor` that was started, and policies that it can load."""

    @pytest.fixture
    def versions(self) -> Iterator[int]:
        """The next policy versions to load; an actor shared by tests needs ever new ones."""
        return itertools.count(1)

    @abstractmethod
    def policy(self, version: int) -> PolicyVersion:
        """Announce weights, with the probe that they pass."""

    async def test_answers_each_request_in_order(self, actor: RolloutActor) -> None:
        asked = requests(5)
        rollouts = await actor.generate(asked)
        assert [rollout.rollout_id for rollout in rollouts] == [each.rollout_id for each in asked]
        for request, rollout in zip(asked, rollouts, strict=True):
            assert (rollout.prompt, rollout.purpose) == (request.prompt, request.purpose)
            assert rollout.sampling == request.sampling
            assert 0 < rollout.num_kept <= len(rollout.token_ids) <= request.sampling.max_tokens
            assert len(rollout.token_ids) == len(rollout.behavior_logprobs)
            assert len(rollout.token_ids) == len(rollout.policy_versions)

    async def test_a_request_that_comes_again_gets_its_first_answer(
        self, actor: RolloutActor, versions: Iterator[int]
    ) -> None:
        asked = requests(2)
        first, at_once = await asyncio.gather(actor.generate(asked), actor.generate(asked))
        assert at_once == first
        await actor.load_policy(self.policy(next(versions)))
        [new] = requests(1)
        later = await actor.generate([asked[1], new, asked[0], asked[1]])
        assert [later[2], later[0], later[3]] == [first[0], first[1], first[1]]
        assert later[1].rollout_id == new.rollout_id

    async def test_what_is_drawn_after_a_load_says_so(
        self, actor: RolloutActor, versions: Iterator[int]
    ) -> None:
        for _ in range(2):
            version = next(versions)
            assert 0.0 <= await actor.load_policy(self.policy(version)) < 1e-3
            for rollout in await actor.generate(requests(2)):
                assert set(rollout.policy_versions) == {version}

    async def test_loading_what_is_loaded_does_nothing_and_an_older_version_is_refused(
        self, actor: RolloutActor, versions: Iterator[int]
    ) -> None:
        older, loaded = next(versions), next(versions)
        difference = await actor.load_policy(self.policy(loaded))
        assert await actor.load_policy(self.policy(loaded)) == difference
        with pytest.raises(VersionError):
            await actor.load_policy(self.policy(older))
        [rollout] = await actor.generate(requests(1))
        assert set(rollout.policy_versions) == {loaded}

    async def test_rests_until_a_version_is_loaded(
        self, actor: RolloutActor, versions: Iterator[int]
    ) -> None:
        first = next(versions)
        await actor.load_policy(self.policy(first))
        for version in (first, next(versions)):  # the same again, and a newer one
            await actor.rest()
            await actor.rest()
            draw = asyncio.create_task(actor.generate(requests(2)))
            done, _ = await asyncio.wait({draw}, timeout=0.1)
            assert not done
            assert 0.0 <= await actor.load_policy(self.policy(version)) < 1e-3
            for rollout in await draw:
                assert set(rollout.policy_versions) == {version}


class OwnRolloutActorContract(RolloutActorContract):
    """And what can be tried only on an actor that a test has to itself, in its own process."""

    @abstractmethod
    def hold(self, actor: RolloutActor) -> asyncio.Event:
        """Let no draw of it end before the event that is returned is set."""

    @abstractmethod
    def misprinted(self, version: int) -> PolicyVersion:
        """Announce weights with a probe that they fail."""

    async def test_a_draw_under_way_blocks_no_other_call(
        self, actor: RolloutActor, versions: Iterator[int]
    ) -> None:
        may_end = self.hold(actor)
        asked = requests(2)
        draws = [asyncio.create_task(actor.generate([each])) for each in asked]
        again = asyncio.create_task(actor.generate(asked))
        await actor.load_policy(self.policy(next(versions)))
        for _ in range(20):
            await asyncio.sleep(0)
        assert not any(draw.done() for draw in (*draws, again))
        may_end.set()
        [first], [second] = await asyncio.gather(*draws)
        assert await again == [first, second]

    async def test_a_failed_probe_ends_it(
        self, actor: RolloutActor, versions: Iterator[int]
    ) -> None:
        await actor.load_policy(self.policy(next(versions)))
        with pytest.raises(ProbeMismatch):
            await actor.load_policy(self.misprinted(next(versions)))
        with pytest.raises(ProbeMismatch):
            await actor.load_policy(self.policy(next(versions)))
        with pytest.raises(ProbeMismatch):
            await actor.generate(requests(1))
