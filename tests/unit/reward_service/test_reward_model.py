from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModel, GPT2Config, GPT2LMHeadModel

from protocol.errors import InputError, MissingError
from reward_service.batching import pad_right
from reward_service.config import RewardModelConfig
from reward_service.heads import LinearHeads
from reward_service.reward_model import RewardModel
from tests.support.reward import make_reward_model
from tests.support.tiny_model import save_tiny_model


def linear_heads(model: RewardModel) -> LinearHeads:
    assert isinstance(model.heads, LinearHeads)
    return model.heads


def test_backbone_is_a_copy_of_the_reference(reference: Path) -> None:
    model = make_reward_model(reference)
    backbone = AutoModel.from_pretrained(reference).state_dict()
    assert backbone.keys() == model.backbone.state_dict().keys()
    for name, tensor in model.backbone.state_dict().items():
        assert torch.equal(tensor, backbone[name]), name


def test_heads_have_the_published_scale_and_no_bias(reference: Path) -> None:
    model = make_reward_model(reference, num_heads=200)
    assert linear_heads(model).weight.shape == (200, 64)
    # 12,800 draws: the standard error of their deviation is 0.6 %.
    assert linear_heads(model).weight.std().item() == pytest.approx(65**-0.5, rel=0.03)
    assert not linear_heads(model).bias.any()
    assert torch.equal(model.gain, torch.ones(200))
    assert torch.equal(model.bias, torch.zeros(200))


def test_the_generator_alone_decides_the_heads(reference: Path) -> None:
    one, same, other = (make_reward_model(reference, seed=seed) for seed in (5, 5, 6))
    assert torch.equal(linear_heads(one).weight, linear_heads(same).weight)
    assert not torch.equal(linear_heads(one).weight, linear_heads(other).weight)


def test_the_score_is_the_head_on_the_last_token_that_is_not_padding(reference: Path) -> None:
    model = make_reward_model(reference, num_heads=2)
    input_ids, attention_mask = pad_right([(5, 6, 7), (8,)])
    with torch.no_grad():
        raw = model(input_ids, attention_mask)
        hidden = model.backbone(input_ids=torch.tensor([[5, 6, 7]])).last_hidden_state[0, 2]
        by_hand = linear_heads(model).weight @ hidden
    assert raw.shape == (2, 2)
    torch.testing.assert_close(raw[0], by_hand, atol=1e-5, rtol=1e-5)


def test_the_score_may_be_the_head_on_the_mean_over_what_is_not_padding(reference: Path) -> None:
    model = make_reward_model(reference, num_heads=2, pooling="mean")
    with torch.no_grad():
        raw = model(*pad_right([(5, 6, 7), (8,)]))
        hidden = model.backbone(input_ids=torch.tensor([[5, 6, 7]])).last_hidden_state[0]
        by_hand = linear_heads(model).weight @ hidden.mean(dim=0)
        alone = model(*pad_right([(8,)]))
    torch.testing.assert_close(raw[0], by_hand, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(raw[1], alone[0], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("pooling", ["last", "mean"])
def test_the_heads_may_see_the_embeddings_too(reference: Path, pooling: str) -> None:
    model = make_reward_model(reference, num_heads=2, pooling=pooling, embeddings=True)
    assert linear_heads(model).weight.shape == (2, 128)
    with torch.no_grad():
        raw = model(*pad_right([(5, 6, 7), (8,)]))
        hidden = model.backbone(input_ids=torch.tensor([[5, 6, 7]])).last_hidden_state[0]
        embedded = model.backbone.get_input_embeddings().weight[torch.tensor([5, 6, 7])]
        variances = embedded.var(dim=1, correction=0, keepdim=True)
        centred = embedded - embedded.mean(dim=1, keepdim=True)
        of_unit_variance = centred / (variances + 1e-5).sqrt()
        pooled = hidden[2] if pooling == "last" else hidden.mean(dim=0)
        by_hand = linear_heads(model).weight @ torch.cat([pooled, of_unit_variance.mean(dim=0)])
        alone = model(*pad_right([(8,)]))
    torch.testing.assert_close(raw[0], by_hand, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(raw[1], alone[0], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("mask", [[[0, 1, 1]], [[1, 0, 1]], [[0, 0, 0]]])
def test_padding_anywhere_but_right_is_an_error(reference: Path, mask: list[list[int]]) -> None:
    with pytest.raises(ValueError, match="then zeros"):
        make_reward_model(reference)(torch.tensor([[5, 6, 7]]), torch.tensor(mask))


def test_dropout_is_gone_in_training_mode_too(tmp_path: Path) -> None:
    config = GPT2Config(
        vocab_size=54, n_positions=8, n_embd=8, n_layer=1, n_head=1, resid_pdrop=0.5,
        embd_pdrop=0.5, attn_pdrop=0.5, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    save_tiny_model(tmp_path)
    GPT2LMHeadModel(config).save_pretrained(tmp_path)
    model = make_reward_model(tmp_path).train()
    batch = pad_right([(5, 6, 7)])
    assert torch.equal(model(*batch), model(*batch))


def test_normalised_scores_are_gain_times_raw_plus_bias(reference: Path) -> None:
    model = make_reward_model(reference, num_heads=2)
    model.set_normalisation(torch.tensor([2.0, 0.5]), torch.tensor([1.0, -1.0]))
    normalised = model.normalised(torch.tensor([[3.0, 4.0]]))
    assert normalised.tolist() == [[7.0, 1.0]]


@pytest.mark.parametrize(
    ("rule", "expected"),
    # Heads 1, 2, 6: mean 3, population variance (4 + 1 + 9)/3 = 14/3.
    [("mean", 3.0), ("min", 1.0), ("mean_minus_variance", 3.0 - 0.5 * 14 / 3)],
)
def test_heads_combine_by_the_rule(reference: Path, rule: str, expected: float) -> None:
    coefficient = 0.5 if rule == "mean_minus_variance" else 0.0
    model = make_reward_model(
        reference, num_heads=3, combine=rule, variance_coefficient=coefficient
    )
    combined = model.combined(torch.tensor([[1.0, 2.0, 6.0]]))
    assert combined.tolist() == pytest.approx([expected])


def test_a_missing_reference_is_named(tmp_path: Path) -> None:
    generator = torch.Generator()
    with pytest.raises(MissingError, match="nowhere does not exist"):
        RewardModel.from_reference(tmp_path / "nowhere", RewardModelConfig(), generator)
    with pytest.raises(InputError, match="is empty"):
        RewardModel.from_reference(tmp_path, RewardModelConfig(), generator)


def test_weights_that_are_not_there_are_named(reference: Path, tmp_path: Path) -> None:
    model = GPT2LMHeadModel.from_pretrained(reference)
    tensors = {k: v for k, v in model.state_dict().items() if "ln_f.bias" not in k}
    save_tiny_model(tmp_path)
    model.save_pretrained(tmp_path, state_dict=tensors)
    with pytest.raises(InputError, match=r"lacks weights .* ln_f\.bias"):
        make_reward_model(tmp_path)


def test_pickled_weights_are_refused(reference: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes((reference / "config.json").read_bytes())
    torch.save(
        GPT2LMHeadModel.from_pretrained(reference).state_dict(), tmp_path / "pytorch_model.bin"
    )
    with pytest.raises(InputError, match="safetensors"):
        make_reward_model(tmp_path)
