"""Policy and critic against a full forward pass of the language model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from learners.collate import collate, single
from learners.config import PPOConfig
from learners.policy_model import POLICY_PREFIX, PolicyModel
from protocol.errors import InputError, MissingError
from protocol.messages import Prompt, Rollout, Sampling, ScoredRollout
from reward_service.lazy_tensors import LazyTensors
from reward_service.pretrained import load_causal_model
from tests.support.messages import make_score
from tests.support.present import present


def scored(prompt: tuple[int, ...], response: tuple[int, ...], temperature: float) -> ScoredRollout:
    rollout = Rollout(
        rollout_id="r",
        prompt=Prompt(prompt_id="p", text="", token_ids=prompt),
        purpose="train",
        sampling=Sampling(temperature=temperature, max_tokens=len(response)),
        token_ids=response,
        behavior_logprobs=(-1.0,) * len(response),
        policy_versions=(0,) * len(response),
        num_kept=len(response),
        is_complete=True,
        finish_reason="cut",
        text="",
        actor_id="a",
        started_at=0.0,
        finished_at=0.0,
    )
    return ScoredRollout(rollout=rollout, score=make_score())


RAGGED = (
    scored((5, 6, 7), (8, 9), 1.0),
    scored((10,), (11, 12, 13, 14), 0.7),
    scored((15, 16, 17, 18, 19), (20,), 0.5),
)


@torch.no_grad()
def test_logprobs_are_those_of_the_whole_model_at_the_temperature(model_folder: Path) -> None:
    model = PolicyModel.from_pretrained(model_folder, PPOConfig())
    batch = collate(RAGGED)
    logprobs, values, entropy = model(*batch.model_inputs(), with_entropy=True)
    assert values.eq(0).all()
    for row, each in enumerate(RAGGED):
        prompt, response = each.rollout.prompt.token_ids, each.rollout.token_ids
        ids = torch.tensor([prompt + response])
        logits = model.language_model(input_ids=ids).logits[0, len(prompt) - 1 : -1]
        expected = (logits / each.rollout.sampling.temperature).log_softmax(dim=-1)
        length = len(response)
        torch.testing.assert_close(
            logprobs[row, :length], expected.gather(1, ids[0, len(prompt) :, None])[:, 0]
        )
        torch.testing.assert_close(entropy[row, :length], -(expected.exp() * expected).sum(dim=-1))


@torch.no_grad()
def test_a_separate_critic_starts_at_zero_and_has_its_own_trunk(model_folder: Path) -> None:
    model = PolicyModel.from_pretrained(model_folder, PPOConfig(critic="separate"))
    own = {name for name, _ in model.named_parameters()}
    assert {name.split(".")[0] for name in own} == {"language_model", "critic", "value_head"}
    _, values, _ = model(*single((1, 2, 3)).model_inputs())
    assert values.eq(0).all()


def test_policy_tensors_are_named_as_in_hugging_face() -> None:
    tensors = {"language_model.lm_head.weight": torch.ones(1), "value_head.bias": torch.zeros(1)}
    kept = LazyTensors(tensors, tensors.__getitem__).under(POLICY_PREFIX)
    assert set(kept) == {"lm_head.weight"}
    assert kept["lm_head.weight"].item() == 1


def test_a_model_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="does not exist"):
        PolicyModel.from_pretrained(tmp_path / "nowhere", PPOConfig())


def test_a_folder_without_weights_is_named(tmp_path: Path, model_folder: Path) -> None:
    (tmp_path / "config.json").write_bytes((model_folder / "config.json").read_bytes())
    with pytest.raises(InputError, match="safetensors"):
        PolicyModel.from_pretrained(tmp_path, PPOConfig())


def test_a_model_that_scales_its_logits_is_refused(
    monkeypatch: pytest.MonkeyPatch, model_folder: Path
) -> None:
    from transformers import GPT2LMHeadModel

    plain = GPT2LMHeadModel.forward

    def capped(self: Any, *args: Any, **kwargs: Any) -> Any:
        output = plain(self, *args, **kwargs)
        output.logits = torch.tanh(output.logits)
        return output

    monkeypatch.setattr(GPT2LMHeadModel, "forward", capped)
    with pytest.raises(InputError, match="scales or caps"):
        PolicyModel.from_pretrained(model_folder, PPOConfig())


def test_with_a_large_vocabulary_no_distribution_of_all_tokens_exists(
    model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In chunks it is the same function with the same gradients, and keeps no logits."""
    batch = collate(RAGGED)
    vocabulary = load_causal_model(model_folder).config.vocab_size

    def run(chunk_logits: int) -> tuple[list[torch.Tensor], list[torch.Tensor], int]:
        monkeypatch.setattr("learners.policy_model.CHUNK_LOGITS", chunk_logits)
        model = PolicyModel.from_pretrained(model_folder, PPOConfig())
        kept: list[int] = []

        def keep(tensor: torch.Tensor) -> torch.Tensor:
            if tensor.shape[-1:] == (vocabulary,):
                kept.append(tensor.numel())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            logprobs, values, entropy = model(*batch.model_inputs(), with_entropy=True)
        loss = (logprobs * batch.mask).sum() + (entropy * batch.mask).mean() + values.sum()
        loss.backward()
        gradients = [parameter.grad for parameter in model.parameters()]
        return [logprobs, entropy], [present(each) for each in gradients], sum(kept)

    whole, whole_gradients, kept_whole = run(2**24)
    chunked, chunked_gradients, kept_chunked = run(3 * vocabulary)
    for one, other in zip(whole + whole_gradients, chunked + chunked_gradients, strict=True):
        # Gradients are sums over tokens, in float32 and another order.
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5)
    num_tokens = batch.response_ids.numel()
    assert kept_whole >= num_tokens * vocabulary
    assert kept_chunked == 0
