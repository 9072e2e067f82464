"""What every learner promises: the fake, one rank of the real one, and ranks in processes."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from dataclasses import dataclass
from itertools import pairwise

import pytest

from protocol.errors import MissingError, VersionError
from protocol.messages import ExperienceBatch
from protocol.ports import Learner, RestingLearner
from tests.support.contract import Contract


@dataclass
class Reached:
    """How far a learner that several tests may share has come."""

    version: int = 0


class LearnerContract(Contract):
    """Subclasses give a `learner` whose version 0 was published, and batches for it."""

    @pytest.fixture
    def reached(self) -> Reached:
        return Reached()

    @abstractmethod
    def batch(self, step: int) -> ExperienceBatch:
        """Return what policy version `step` can be trained on."""

    async def take_steps(self, learner: Learner, reached: Reached, count: int) -> None:
        for _ in range(count):
            report = await learner.step(self.batch(reached.version))
            reached.version += 1
            assert report.policy.version == reached.version

    async def test_a_step_makes_the_next_version(self, learner: Learner, reached: Reached) -> None:
        batch = self.batch(reached.version)
        policy = (await learner.step(batch)).policy
        reached.version += 1
        assert policy.version == reached.version
        assert policy.episodes == batch.episodes_before + len(batch.rollouts)
        assert policy.restored_from is None

    async def test_the_same_step_again_is_the_first_answer(
        self, learner: Learner, reached: Reached
    ) -> None:
        batch = self.batch(reached.version)
        first, at_once = await asyncio.gather(learner.step(batch), learner.step(batch))
        assert at_once == first == await learner.step(batch)
        reached.version += 1
        await self.take_steps(learner, reached, 1)  # so one version was made, not three

    async def test_goes_on_after_a_rest(self, learner: RestingLearner, reached: Reached) -> None:
        await self.take_steps(learner, reached, 1)
        for _ in range(2):
            for move in (learner.rest, learner.rest, learner.wake, learner.wake):
                await move()
            await self.take_steps(learner, reached, 1)

    async def test_any_other_step_is_refused(self, learner: Learner, reached: Reached) -> None:
        await self.take_steps(learner, reached, 2)
        for step in (reached.version + 1, reached.version - 2):
            with pytest.raises(VersionError):
                await learner.step(self.batch(step))
        await self.take_steps(learner, reached, 1)

    async def test_the_same_rollback_again_is_the_first_answer(
        self, learner: Learner, reached: Reached
    ) -> None:
        await self.take_steps(learner, reached, 2)
        kept = await learner.checkpoints()
        first = await learner.restore(kept[0], reached.version)
        assert await learner.restore(kept[0], reached.version) == first
        reached.version += 1
        assert first.version == reached.version
        with pytest.raises(VersionError):
            await learner.restore(kept[0], reached.version + 1)
        second = await learner.restore(kept[0], reached.version)  # another rollback, to the same
        reached.version += 1
        assert second.version == reached.version
        await self.take_steps(learner, reached, 1)

    async def test_what_is_restored_is_a_new_version(
        self, learner: Learner, reached: Reached
    ) -> None:
        await self.take_steps(learner, reached, 3)
        kept = await learner.checkpoints()
        assert kept == tuple(sorted(set(kept)))
        assert 0 <= kept[0] <= kept[-1] < reached.version
        restored = await learner.restore(kept[0])
        reached.version += 1
        assert (restored.version, restored.restored_from) == (reached.version, kept[0])
        with pytest.raises(VersionError):
            await learner.step(self.batch(reached.version - 2))  # though it was the last taken
        await self.take_steps(learner, reached, 1)

    async def test_what_is_kept_can_be_restored(self, learner: Learner, reached: Reached) -> None:
        await self.take_steps(learner, reached, 1)
        assert await learner.keep() == reached.version
        assert await learner.keep() == reached.version
        assert (await learner.checkpoints()).count(reached.version) == 1
        await self.take_steps(learner, reached, 1)
        restored = await learner.restore(reached.version - 1)
        reached.version += 1
        assert (restored.version, restored.restored_from) == (reached.version, reached.version - 2)

    async def test_every_step_moves_the_policy_on_and_a_rollback_is_a_move_too(
        self, learner: Learner, reached: Reached
    ) -> None:
        """A step moves it by nothing once the learning rate has fallen to 0."""
        reports = []
        for _ in range(3):
            reports.append(await learner.step(self.batch(reached.version)))
            reached.version += 1
            if len(reports) == 2:
                await learner.keep()
        for before, after in pairwise(reports):
            step_kl = after.metrics["policy/step_kl"]
            assert step_kl >= 0
            assert after.policy.moved_kl == pytest.approx(before.policy.moved_kl + step_kl)
        kept, left = (each.policy.moved_kl for each in reports[1:])
        restored = await learner.restore(reached.version - 1)
        reached.version += 1
        assert restored.moved_kl == pytest.approx(left + (left - kept))

    async def test_what_was_not_kept_cannot_be_restored(
        self, learner: Learner, reached: Reached
    ) -> None:
        await self.take_steps(learner, reached, 1)
        with pytest.raises(MissingError):
            await learner.restore(reached.version + 7)
        await self.take_steps(learner, reached, 1)
