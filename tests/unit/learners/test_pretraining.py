"""Pretraining text beside PPO: which blocks, what they add, and what is measured."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from torch.nn.functional import cross_entropy

from learners.config import PPOConfig, PtxConfig
from learners.policy_model import PolicyModel
from learners.pretraining import BlockOrder, PretrainingBlocks
from protocol.errors import BundleCorrupt, ConfigError, MissingError
from reward_service.pretrained import load_causal_model
from tests.support import learner_inputs as inputs
from tests.support.metric_proofs import proves
from tests.support.plain_learners import PlainPPO
from tests.support.policy_learner import policy_learner
from tests.support.present import digest_of, present

MIX: dict[str, Any] = {"ptx": inputs.WITH_TEXT.ptx, "pretraining": inputs.pretraining()}


def test_every_block_comes_once_an_epoch_in_another_order_each_time() -> None:
    order = BlockOrder(13, seed=3)
    epochs = [order.taken(13 * epoch, 13).tolist() for epoch in range(3)]
    assert [sorted(each) for each in epochs] == [list(range(13))] * 3
    assert len({tuple(each) for each in epochs}) == 3


@pytest.mark.parametrize(("position", "count"), [(0, 40), (5, 8), (12, 2), (13, 13), (30, 1)])
def test_the_block_at_a_position_is_the_same_however_it_is_come_to(
    position: int, count: int
) -> None:
    together = BlockOrder(13, seed=3).taken(position, count).tolist()
    alone = [int(BlockOrder(13, seed=3).taken(position + n, 1)) for n in range(count)]
    assert together == alone
    assert together != BlockOrder(13, seed=4).taken(position, count).tolist()


@proves("policy/ptx_loss", "policy/pretraining_loss", "policy/alignment_tax")
def test_losses_and_norm_are_those_of_plain_ppo_with_text(
    model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learner = policy_learner(model_folder, tmp_path, monkeypatch, **MIX)
    text = inputs.pretraining()
    plain = PlainPPO(
        model_folder,
        inputs.WITH_TEXT,
        inputs.TOTAL_EPISODES,
        inputs.SEED,
        text.train,
        text.held_out,
    )
    beta = inputs.KL.coefficient
    for step in range(2):
        batch = inputs.experience_batch(step)
        report = present(learner.step(batch))
        for name, value in plain.step(batch, beta).items():
            assert report.metrics[name] == pytest.approx(value, rel=1e-3, abs=1e-5), name
        beta = learner._kl.coefficient
    assert report.metrics["policy/alignment_tax"] < 0  # it learns this text's common tokens


def test_the_larger_the_coefficient_the_less_the_policy_loses_on_the_text_itself(
    model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = inputs.blocks().int()
    text = PretrainingBlocks(train=blocks, held_out=blocks)
    losses = []
    for coefficient in (0.0, 1.0, 100.0):
        ptx = PtxConfig(coefficient=coefficient)
        place = tmp_path / str(coefficient)
        learner = policy_learner(model_folder, place, monkeypatch, ptx=ptx, pretraining=text)
        report = present(learner.step(inputs.experience_batch(0)))
        assert ("policy/ptx_loss" in report.metrics) == (coefficient > 0)
        losses.append(report.metrics["policy/pretraining_loss"])
    assert losses[0] > losses[1] > losses[2]


def test_where_some_tokens_count_the_loss_is_the_mean_of_those(
    model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Measured and trained on alike: of each block the last two tokens."""
    blocks = inputs.blocks().int()
    counted = torch.zeros(len(blocks), blocks.shape[1] - 1, dtype=torch.bool)
    counted[:, -2:] = True
    text = PretrainingBlocks(
        train=blocks, held_out=blocks, train_counted=counted, held_out_counted=counted
    )
    told = {}
    for coefficient in (0.0, 100.0):
        ptx = PtxConfig(coefficient=coefficient)
        place = tmp_path / str(coefficient)
        learner = policy_learner(model_folder, place, monkeypatch, ptx=ptx, pretraining=text)
        model = load_causal_model(model_folder)
        with torch.no_grad():
            logits = model(input_ids=blocks[:, :-1].long()).logits[:, -2:]
        wanted = cross_entropy(logits.flatten(0, 1), blocks[:, -2:].long().flatten())
        assert learner._pretraining._reference_loss == pytest.approx(float(wanted), rel=1e-4)
        report = present(learner.step(inputs.experience_batch(0)))
        told[coefficient] = report.metrics["policy/pretraining_loss"]
    assert told[100.0] < told[0.0]


def test_to_measure_changes_no_step(
    model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = policy_learner(model_folder, tmp_path / "1", monkeypatch)
    measured = policy_learner(
        model_folder, tmp_path / "2", monkeypatch, pretraining=inputs.pretraining()
    )
    one, other = (present(each.step(inputs.experience_batch(0))) for each in (plain, measured))
    assert digest_of(one.policy.weights) == digest_of(other.policy.weights)
    more = {"policy/pretraining_loss", "policy/alignment_tax"}
    assert other.metrics.keys() - one.metrics.keys() == more


def test_after_a_restore_the_same_batches_bring_the_same_blocks(
    model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learner = policy_learner(model_folder, tmp_path, monkeypatch, **MIX)
    reports = [present(learner.step(inputs.experience_batch(step))) for step in range(2)]
    learner.restore(0)
    for step, first in enumerate(reports):
        again = present(learner.step(inputs.as_step(inputs.experience_batch(step), step + 3)))
        assert digest_of(again.policy.weights) == digest_of(first.policy.weights)
        name = "policy/alignment_tax"
        assert again.metrics[name] == first.metrics[name]


def test_another_learner_goes_on_with_the_blocks_that_come_next(
    model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = policy_learner(model_folder, tmp_path, monkeypatch, **MIX)
    first.step(inputs.experience_batch(0))
    first.keep()
    wanted = present(first.step(inputs.experience_batch(1)))
    second = policy_learner(model_folder, tmp_path, monkeypatch, **MIX)
    second.resume(1)
    went_on = present(second.step(inputs.experience_batch(1)))
    assert digest_of(went_on.policy.weights) == digest_of(wanted.policy.weights)
    assert went_on.metrics == wanted.metrics


def test_no_pass_has_more_blocks_than_a_micro_batch(
    model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learner = policy_learner(model_folder, tmp_path, monkeypatch, **MIX)
    sizes: list[int] = []
    learner._engine.module.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    learner.step(inputs.experience_batch(0))
    assert max(sizes) == learner._pass_limits.max_sequences == 3


def test_no_pass_has_more_blocks_than_its_tokens_allow(
    model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_two_blocks = inputs.engine_config(1, 0, micro_batch_tokens=16)
    learner = policy_learner(model_folder, tmp_path, monkeypatch, learner=of_two_blocks, **MIX)
    sizes: list[int] = []
    learner._engine.module.register_forward_pre_hook(
        lambda _, inputs: sizes.append(inputs[0].numel())
    )
    report = present(learner.step(inputs.experience_batch(0)))
    assert max(sizes) == 16
    other = policy_learner(model_folder, tmp_path / "other", monkeypatch, **MIX)
    wanted = present(other.step(inputs.experience_batch(0))).metrics
    for name in ("policy/loss", "policy/ptx_loss", "policy/pretraining_loss", "policy/grad_norm"):
        assert report.metrics[name] == pytest.approx(wanted[name], rel=1e-4, abs=1e-6), name


def test_a_separate_critic_is_run_over_one_token_of_a_pass_over_text(
    model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learner = policy_learner(model_folder, tmp_path, monkeypatch, critic="separate", **MIX)
    tokens = {"policy": 0, "critic": 0}
    model = learner._engine.module
    for name, trunk in (("policy", model.language_model.base_model), ("critic", model.critic)):

        def count(_: object, args: tuple[Any, ...], kwargs: dict[str, Any], n: str = name) -> None:
            tokens[n] += kwargs["input_ids"].numel()

        trunk.register_forward_pre_hook(count, with_kwargs=True)
    learner.step(inputs.experience_batch(0))
    num_steps = inputs.PPO.epochs * inputs.PPO.minibatches
    # In passes of 3 blocks of 8 tokens, the last of which predicts none.
    num_blocks, num_passes = num_steps * 8 + 7, num_steps * 3 + 3
    assert tokens["policy"] - tokens["critic"] == 7 * num_blocks - num_passes


@pytest.mark.parametrize("critic", ["shared", "separate"])
def test_a_pass_over_text_has_gradients_of_every_parameter_and_the_critic_s_are_0(
    model_folder: Path, critic: Literal["shared", "separate"]
) -> None:
    model = PolicyModel.from_pretrained(model_folder, PPOConfig(critic=critic))
    ids, ones = inputs.blocks(2), torch.ones(2)
    logprobs, zeros, _ = model(ids, ids[:, 1:], ones.long(), ones, with_values=False)
    assert zeros.eq(0).all()
    (zeros - logprobs).mean().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert bool(parameter.grad.any()) == name.startswith("language_model."), name


def test_to_train_on_text_there_must_be_some(
    model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match=r"no \[pretraining\] text"):
        policy_learner(model_folder, tmp_path, monkeypatch, ptx=inputs.WITH_TEXT.ptx)


@pytest.mark.parametrize("coefficient", [-1.0, float("nan"), float("inf")])
def test_a_coefficient_is_no_less_than_0_and_finite(coefficient: float) -> None:
    with pytest.raises(ValueError, match=r"ptx\.coefficient"):
        PPOConfig.model_validate({"ptx": {"coefficient": coefficient}})


def test_blocks_are_read_as_they_were_written(tmp_path: Path) -> None:
    text = inputs.pretraining()
    text.write(tmp_path / "made" / "pretraining.safetensors")
    again = PretrainingBlocks.read(tmp_path / "made" / "pretraining.safetensors")
    assert again.train.equal(text.train)
    assert again.held_out.equal(text.held_out)
    assert again.train.dtype == torch.int32
    assert again.train_counted is again.held_out_counted is None
    assert [each.name for each in (tmp_path / "made").iterdir()] == ["pretraining.safetensors"]


def test_which_tokens_count_is_read_as_it_was_written(tmp_path: Path) -> None:
    text = inputs.pretraining()
    counted = text.train[:, 1:] % 2 == 0
    replace(text, train_counted=counted).write(tmp_path / "it.safetensors")
    again = PretrainingBlocks.read(tmp_path / "it.safetensors")
    assert present(again.train_counted).equal(counted)
    assert again.held_out_counted is None


def test_blocks_that_are_not_there_or_not_whole_are_named(tmp_path: Path) -> None:
    path = tmp_path / "pretraining.safetensors"
    with pytest.raises(
        MissingError, match=r"blocks of pretraining text: .*pretraining.safetensors"
    ):
        PretrainingBlocks.read(path)
    inputs.pretraining().write(path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(BundleCorrupt, match="holds no blocks of pretraining text"):
        PretrainingBlocks.read(path)
