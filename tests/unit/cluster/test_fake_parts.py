"""The fakes of a controller's parts keep the promises of the parts they stand for."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from protocol.errors import VersionError
from protocol.fits import RewardVersion
from protocol.messages import ExperienceBatch, PolicyVersion, Probe
from protocol.ports import PromptSource, RolloutActor
from tests.support.collective import Collective, CollectiveActor, pushed_policy
from tests.support.learner_contract import LearnerContract
from tests.support.messages import make_policy, make_scored
from tests.support.parts import (
    FakeActor,
    FakeLearner,
    FakePrompts,
    FakeRewardService,
    FakeRewardTrainer,
)
from tests.support.prompt_source_contract import PromptSourceContract
from tests.support.reward import make_reward_version
from tests.support.reward_service_contract import RewardServiceContract, SilentScorerContract
from tests.support.reward_trainer_contract import OwnRewardTrainerContract
from tests.support.rollout_actor_contract import OwnRolloutActorContract


class TestFakePrompts(PromptSourceContract, of=FakePrompts):
    def source(self) -> PromptSource:
        return FakePrompts()


class TestFakeActor(OwnRolloutActorContract, of=FakeActor):
    @pytest.fixture
    def actor(self) -> FakeActor:
        return FakeActor()

    def policy(self, version: int) -> PolicyVersion:
        return make_policy(version)

    def misprinted(self, version: int) -> PolicyVersion:
        return replace(self.policy(version), probe=Probe(token_ids=(1, 2), logprobs=(-9.0,)))

    def hold(self, actor: RolloutActor) -> asyncio.Event:
        assert isinstance(actor, FakeActor)
        actor.may_answer.clear()
        return actor.may_answer


class TestCollectiveActor(TestFakeActor, of=CollectiveActor):
    @pytest.fixture
    def actor(self) -> FakeActor:
        return CollectiveActor(Collective(1), "ann")

    def policy(self, version: int) -> PolicyVersion:
        return pushed_policy(version)


class TestFakeLearner(LearnerContract, of=FakeLearner):
    @pytest.fixture
    def learner(self) -> FakeLearner:
        return FakeLearner()

    def batch(self, step: int) -> ExperienceBatch:
        return ExperienceBatch(
            step=step,
            rollouts=(make_scored(),) * 4,
            episodes_before=4 * step,
            reward_version=1,
            learned_through=10,
        )


async def test_a_number_keeps_what_the_fake_learner_first_kept_of_it(tmp_path: Path) -> None:
    batch = TestFakeLearner().batch(0)
    await FakeLearner(tmp_path).keep()
    lost, other = FakeLearner(tmp_path), FakeLearner(tmp_path)
    await lost.step(batch)
    await lost.keep()
    await other.resume(0, 1)
    with pytest.raises(VersionError, match="was kept before"):
        await other.keep()


class TestFakeRewardTrainer(OwnRewardTrainerContract, of=FakeRewardTrainer):
    @pytest.fixture
    def trainer(self) -> FakeRewardTrainer:
        return FakeRewardTrainer()


class TestFakeRewardService(RewardServiceContract, of=FakeRewardService):
    @pytest.fixture
    def scorer(self) -> FakeRewardService:
        service = FakeRewardService()
        service.value = lambda version, sequence: sum(sequence) / 100 - version
        return service

    @pytest.fixture
    def announced(self) -> Iterator[RewardVersion]:
        return map(make_reward_version, itertools.count(1))


class TestFakeRewardServiceThatFails(SilentScorerContract, of=FakeRewardService):
    @pytest.fixture
    def silent(self) -> FakeRewardService:
        return FakeRewardService(failures=1)
