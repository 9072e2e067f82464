"""What a policy learner keeps, what it goes back to, and what a step that was broken off leaves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from learners.losses import value_loss
from learners.ppo import PPOLearner
from protocol.errors import DiskFull, MissingError, NotFinite, VersionError
from protocol.messages import PolicyVersion
from tests.support import learner_inputs as inputs
from tests.support.plain_engine import PlainEngine
from tests.support.policy_learner import policy_learner
from tests.support.present import digest_of, present


def test_a_checkpoint_comes_before_every_new_reward_and_every_tenth_step(
    learner: PPOLearner,
) -> None:
    rewards = [1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2]
    for step, reward in enumerate(rewards):
        batch = inputs.experience_batch(step)
        learner.step(replace(batch, reward_version=reward, episodes_before=0))
    # 0 is ρ, 2 is the last that reward 2 did not train, 10 is the tenth.
    assert learner.checkpoints() == (0, 2, 10)


def test_after_a_restore_the_same_batches_give_the_same_weights(learner: PPOLearner) -> None:
    reports = [learner.step(inputs.experience_batch(step)) for step in range(2)]
    kl = learner._kl.coefficient
    restored = learner.restore(0)
    assert restored is not None
    assert (restored.version, restored.restored_from, restored.episodes) == (3, 0, 32)
    assert (restored.reward_version, restored.learned_through) == (0, 0)
    assert learner._kl.coefficient == inputs.KL.coefficient
    # The step's number rises; what it trains on, and the rate, are those of the first time.
    again = [learner.step(inputs.as_step(inputs.experience_batch(s), s + 3)) for s in range(2)]
    for first, second in zip(reports, again, strict=True):
        assert first is not None
        assert second is not None
        assert second.policy.version == first.policy.version + 3
        assert digest_of(second.policy.weights) == digest_of(first.policy.weights)
        assert second.policy.restored_from is None
    assert learner._kl.coefficient == kl


def test_the_way_is_that_of_all_steps_and_back(learner: PPOLearner) -> None:
    learner.step(inputs.experience_batch(0))
    learner.keep()
    for step in range(1, 3):
        learner.step(inputs.experience_batch(step))
    left = learner._moved_kl
    first = learner._checkpoints.read(1).position.moved_kl
    back = present(learner.restore(1))
    assert 0 < first < left
    assert back.moved_kl == left + (left - first)
    # What was restored lies behind, and what was left is as far ahead as it was.
    forth = present(learner.step(inputs.as_step(inputs.experience_batch(1), 4)))
    assert forth.policy.moved_kl == back.moved_kl + forth.metrics["policy/step_kl"]


def test_a_step_that_was_broken_off_moved_nothing(
    learner: PPOLearner, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = present(learner.step(inputs.experience_batch(0))).policy.moved_kl
    learner.keep()
    with monkeypatch.context() as patch:
        patch.setattr(learner, "announce", no_room)
        with pytest.raises(DiskFull):
            learner.step(inputs.experience_batch(1))
    assert present(learner.restore(1)).moved_kl == moved


def no_room() -> None:
    raise DiskFull("no room")


def test_a_step_from_before_a_restore_is_refused(learner: PPOLearner) -> None:
    learner.step(inputs.experience_batch(0))
    learner.restore(0)
    with pytest.raises(VersionError, match="step 0 came after step 1"):
        learner.step(inputs.experience_batch(0))


def test_a_version_without_a_checkpoint_is_missing_and_changes_nothing(learner: PPOLearner) -> None:
    learner.step(inputs.experience_batch(0))
    with pytest.raises(MissingError, match="no checkpoint of policy version 1: there are 0"):
        learner.restore(1)
    report = learner.step(inputs.experience_batch(1))
    assert report is not None
    assert report.policy.version == 2


def spoil(monkeypatch: pytest.MonkeyPatch, at_call: int) -> None:
    """Make the value loss of one micro-batch NaN."""
    calls = iter(range(10_000))

    def spoiled(*args: Any) -> torch.Tensor:
        return value_loss(*args) * (torch.nan if next(calls) == at_call else 1.0)

    monkeypatch.setattr("learners.ppo.value_loss", spoiled)


@pytest.mark.parametrize("at_call", [0, 1, 5])
def test_after_a_step_broken_off_by_nan_a_restore_leaves_nothing_of_it(
    learner: PPOLearner,
    model_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    at_call: int,
) -> None:
    """Call 1 has gradients of call 0 beside it; call 5 is past an optimizer step."""
    spoil(monkeypatch, at_call)
    with pytest.raises(NotFinite, match="loss on rank 0 is nan"):
        learner.step(inputs.experience_batch(0))
    restored = learner.restore(0)
    assert restored is not None
    assert (restored.version, restored.restored_from, restored.episodes) == (1, 0, 0)
    again = learner.step(inputs.as_step(inputs.experience_batch(0), 1))
    clean = policy_learner(model_folder, tmp_path / "clean", monkeypatch).step(
        inputs.experience_batch(0)
    )
    assert again is not None
    assert clean is not None
    assert digest_of(again.policy.weights) == digest_of(clean.policy.weights)


def test_a_version_that_gives_its_probe_no_number_is_not_published(
    learner: PPOLearner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last optimizer step of all is the one that spoils the weights."""
    step = PlainEngine.step
    engine: Any = learner._engine

    def spoiling(self: PlainEngine, lr: float) -> float:
        norm = step(self, lr)
        if self.num_steps == inputs.PPO.epochs * inputs.PPO.minibatches:
            next(iter(self.module.parameters())).data.fill_(torch.nan)
        return norm

    monkeypatch.setattr(type(engine), "step", spoiling)
    with pytest.raises(NotFinite, match="policy version 1 gives its probe"):
        learner.step(inputs.experience_batch(0))
    restored = learner.restore(0)
    assert restored is not None
    assert (restored.version, restored.restored_from) == (1, 0)


def test_a_restore_that_could_not_be_told_of_can_be_asked_again(
    learner: PPOLearner, monkeypatch: pytest.MonkeyPatch
) -> None:
    learner.step(inputs.experience_batch(0))
    moved, announce = learner._moved_kl, learner.announce

    def no_room() -> PolicyVersion | None:
        raise DiskFull("no room for weights")

    monkeypatch.setattr(learner, "announce", no_room)
    with pytest.raises(DiskFull):
        learner.restore(0, step=1)
    assert learner._moved_kl == moved
    monkeypatch.setattr(learner, "announce", announce)
    assert present(learner.restore(0, step=1)).version == 2
