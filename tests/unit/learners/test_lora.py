"""PPO on adapters: what is trained, what ρ is, what travels, and what is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import AutoModelForCausalLM

from actors.low_rank import whole_weights
from learners.activations import keep_no_activations
from learners.collate import collate
from learners.config import PPOConfig
from learners.evaluation import evaluate
from learners.policy_model import PolicyModel
from learners.ppo import PPOLearner
from learners.targets import Evaluation
from protocol.errors import InputError
from protocol.messages import PolicyVersion
from reward_service.adapters import base_parameters
from reward_service.buckets import BatchLimits
from reward_service.bundle import write_bundle
from reward_service.config import LoRAConfig
from tests.support import learner_inputs as inputs
from tests.support.architectures import save_architecture
from tests.support.messages import weights_path
from tests.support.plain_engine import PlainEngine
from tests.support.policy_learner import policy_learner_of
from tests.support.present import present
from tests.support.reward import make_reward_model, make_reward_version

LORA = LoRAConfig(rank=4, alpha=8.0)
ARCHITECTURES = ("gpt2", "llama tied", "llama untied", "qwen2", "gpt-neox")
IDS = torch.arange(3, 35).view(2, 16)


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("learners.ppo.Engine", PlainEngine)


def make(
    folder: Path, root: Path, *, travel: bool = True, lora: LoRAConfig = LORA, **changes: Any
) -> PPOLearner:
    settings: dict[str, Any] = {"lr": 1e-2, **changes}
    return policy_learner_of(folder, root, lora=lora, adapters_travel=travel, **settings)


def weights_of(learner: PPOLearner) -> dict[str, Tensor]:
    return {name: x.clone() for name, x in learner._engine.module.state_dict().items()}


@torch.no_grad()
def said_of_the_probe(weights: dict[str, Tensor] | None, folder: Path) -> list[float]:
    """What transformers says of the probe, with these weights, or None: the folder's; strictly."""
    model: Any = AutoModelForCausalLM.from_pretrained(folder)
    if weights is not None:
        tied = {"lm_head.weight"} - set(weights)
        assert set(model.load_state_dict(weights, strict=False).missing_keys) <= tied
    sequence = torch.tensor(inputs.PROBE)
    logprobs = model(input_ids=sequence[None]).logits[0, :-1].log_softmax(-1)
    return list(logprobs.gather(1, sequence[1:, None])[:, 0].tolist())


def as_an_actor(policy: PolicyVersion, folder: Path) -> dict[str, Tensor]:
    sent = load_file(weights_path(policy))
    return dict(whole_weights(folder, sent, dtype=torch.float32, device=torch.device("cpu")))


def evaluated(learner: PPOLearner, step: int) -> Evaluation:
    responses = collate(inputs.experience_batch(step).rollouts)
    return evaluate(
        responses,
        learner._engine,
        learner._reference,
        BatchLimits(max_tokens=64, max_sequences=3),
        version=step,
    )


@pytest.mark.parametrize("critic", ["shared", "separate"])
def test_the_first_version_says_exactly_what_the_reference_does(
    model_folder: Path, tmp_path: Path, critic: str
) -> None:
    learner = make(model_folder, tmp_path, critic=critic)
    before = evaluated(learner, step=0)
    assert torch.equal(before.proximal_logprobs, before.reference_logprobs)
    learner.step(inputs.experience_batch(0))
    after = evaluated(learner, step=1)
    assert (after.proximal_logprobs - after.reference_logprobs).abs().max() > 0.01
    fresh = make(model_folder, tmp_path / "fresh", critic=critic)
    again = evaluated(fresh, step=1)
    assert torch.equal(after.reference_logprobs, again.reference_logprobs)


@pytest.mark.parametrize("critic", ["shared", "separate"])
def test_steps_change_adapters_and_the_value_head_alone(
    model_folder: Path, tmp_path: Path, critic: str
) -> None:
    learner = make(model_folder, tmp_path, critic=critic)
    before = weights_of(learner)
    for step in range(2):
        learner.step(inputs.experience_batch(step))
    after = weights_of(learner)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert all(".lora_" in name or name.startswith("value_head.") for name in changed)
    own = {name for name in before if ".lora_" in name}
    assert len(changed & own) == len(own)
    assert any(name.startswith("value_head.") for name in changed)
    assert any(name.startswith("critic.") for name in changed) == (critic == "separate")


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_what_travels_becomes_the_learners_own_policy_at_the_actors(
    tmp_path: Path, architecture: str
) -> None:
    folder = save_architecture(architecture, tmp_path / "model")
    learner = make(folder, tmp_path)
    policy = present(learner.step(inputs.experience_batch(0))).policy
    assert as_an_actor(policy, folder).keys() == load_file(folder / "model.safetensors").keys()
    said = said_of_the_probe(as_an_actor(policy, folder), folder)
    assert said == pytest.approx(policy.probe.logprobs, abs=1e-4)
    assert said != pytest.approx(
        said_of_the_probe(load_file(folder / "model.safetensors"), folder), abs=1e-3
    )


def test_adapters_alone_are_few_bytes(model_folder: Path, tmp_path: Path) -> None:
    small = make(model_folder, tmp_path / "small", lora=LoRAConfig(rank=1, alpha=2.0))
    whole = make(model_folder, tmp_path / "whole", travel=False)
    policies = [present(each.step(inputs.experience_batch(0))).policy for each in (small, whole)]
    sizes = [weights_path(policy).stat().st_size for policy in policies]
    assert sizes[0] < sizes[1] / 15


def test_where_whole_weights_travel_they_are_merged(model_folder: Path, tmp_path: Path) -> None:
    learner = make(model_folder, tmp_path, travel=False)
    policy = present(learner.step(inputs.experience_batch(0))).policy
    sent = load_file(weights_path(policy))
    assert "lm_head.weight" in sent
    said = said_of_the_probe(sent, model_folder)
    assert said == pytest.approx(policy.probe.logprobs, abs=1e-4)


@pytest.mark.parametrize("travel", [True, False])
def test_a_policy_with_experts_is_saved_as_it_is(tmp_path: Path, travel: bool) -> None:
    folder = save_architecture("mixtral, experts", tmp_path / "model")
    learner = make(folder, tmp_path, travel=travel)
    policy = present(learner.step(inputs.experience_batch(0))).policy
    learner.save(tmp_path / "saved")
    said = said_of_the_probe(None, tmp_path / "saved")
    assert said == pytest.approx(policy.probe.logprobs, abs=1e-4)


def test_weights_stored_without_their_prefix_are_found(tmp_path: Path) -> None:
    folder = save_architecture("gpt2", tmp_path / "model")
    stored = load_file(folder / "model.safetensors")
    from safetensors.torch import save_file

    short = {name.removeprefix("transformer."): x.clone() for name, x in stored.items()}
    save_file(short, folder / "model.safetensors", metadata={"format": "pt"})
    learner = make(folder, tmp_path)
    sent = load_file(weights_path(present(learner.announce())))
    assert "h.0.attn.c_attn.weight@left" in sent


def test_a_folder_with_other_names_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = save_architecture("gpt2", tmp_path / "model")
    monkeypatch.setattr("learners.policy_weights.tensor_names", lambda path: frozenset({"other"}))
    with pytest.raises(InputError, match="holds no weight 'transformer"):
        make(folder, tmp_path)


def test_a_saved_policy_needs_no_peft(model_folder: Path, tmp_path: Path) -> None:
    learner = make(model_folder, tmp_path)
    policy = present(learner.step(inputs.experience_batch(0))).policy
    learner.save(tmp_path / "saved")
    saved = load_file(tmp_path / "saved" / "model.safetensors")
    whole = load_file(model_folder / "model.safetensors").keys() | {"lm_head.weight"}
    assert saved.keys() == whole
    said = said_of_the_probe(saved, tmp_path / "saved")
    assert said == pytest.approx(policy.probe.logprobs, abs=1e-4)


def test_a_checkpoint_holds_no_weight_of_the_reference(model_folder: Path, tmp_path: Path) -> None:
    learner = make(model_folder, tmp_path)
    learner.step(inputs.experience_batch(0))
    version = learner.keep()
    share = load_file(tmp_path / "policy" / f"v{version:06d}" / "rank-0000.safetensors")
    kept = {name for name in share if name.startswith("weight/")}
    assert kept
    assert all(".lora_" in name or "value_head" in name for name in kept)


@pytest.mark.parametrize("critic", ["shared", "separate"])
def test_a_resumed_learner_goes_on_bit_for_bit(
    model_folder: Path, tmp_path: Path, critic: str
) -> None:
    learner = make(model_folder, tmp_path, critic=critic)
    learner.step(inputs.experience_batch(0))
    version = learner.keep()
    untouched = present(learner.step(inputs.experience_batch(1)))
    other = make(model_folder, tmp_path, critic=critic)
    other.resume(version)
    resumed = present(other.step(inputs.experience_batch(1)))
    assert resumed.policy.probe == untouched.policy.probe
    assert resumed.metrics == untouched.metrics
    mine, theirs = weights_of(learner), weights_of(other)
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)


def test_a_rollback_publishes_the_adapters_of_then(model_folder: Path, tmp_path: Path) -> None:
    learner = make(model_folder, tmp_path)
    learner.step(inputs.experience_batch(0))
    version = learner.keep()
    kept = weights_of(learner)
    learner.step(inputs.experience_batch(1))
    policy = present(learner.restore(version))
    assert policy.restored_from == version
    assert all(torch.equal(x, kept[name]) for name, x in weights_of(learner).items())
    said = said_of_the_probe(as_an_actor(policy, model_folder), model_folder)
    assert said == pytest.approx(policy.probe.logprobs, abs=1e-4)


def test_a_separate_critic_adapts_the_same_base(model_folder: Path) -> None:
    config = PPOConfig(critic="separate")
    model = PolicyModel.from_pretrained(model_folder, config, LORA, seed=1)
    plain = PolicyModel.from_pretrained(model_folder, PPOConfig())
    frozen = {id(x): x for x in base_parameters(model).values()}
    assert sum(x.numel() for x in frozen.values()) == sum(
        x.numel() for x in plain.language_model.parameters()
    )
    assert model.critic is not None
    one = dict(model.language_model.base_model.named_parameters())
    for name, own in model.critic.named_parameters():
        assert (own is one[name]) == (".lora_" not in name)


def test_a_critic_from_a_reward_is_adapted_where_it_is(model_folder: Path, tmp_path: Path) -> None:
    reward = write_bundle(tmp_path, make_reward_model(model_folder), make_reward_version(1))
    config = PPOConfig(critic="separate", critic_path=reward.path)
    plain = PolicyModel.from_pretrained(model_folder, config)
    model = PolicyModel.from_pretrained(model_folder, config, LORA, seed=1)
    inputs_ = (IDS, IDS[:, 8:], torch.tensor([8, 8]), torch.ones(2))
    for one, other in zip(plain(*inputs_), model(*inputs_), strict=True):
        assert torch.equal(one, other)
    trained = {name for name, x in model.named_parameters() if x.requires_grad}
    assert any(name.startswith("critic.") for name in trained)
    assert all(".lora_" in name or name.startswith("value_head") for name in trained)


def learned(model: nn.Module, loss: Tensor) -> dict[str, Tensor]:
    model.zero_grad()
    loss.backward()
    return {name: x.grad.clone() for name, x in model.named_parameters() if x.grad is not None}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("critic", ["shared", "separate"])
def test_layers_computed_again_give_the_same_gradients(
    tmp_path: Path, architecture: str, critic: str
) -> None:
    folder = save_architecture(architecture, tmp_path)
    config = PPOConfig.model_validate({"critic": critic})
    model = PolicyModel.from_pretrained(folder, config, LORA, seed=1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ".lora_B" in name:
                parameter.normal_(std=0.05)
        model.value_head.weight.normal_()

    def loss() -> Tensor:
        logprobs, values, _ = model(IDS, IDS[:, 8:], torch.tensor([8, 8]), torch.ones(2))
        found: Tensor = (logprobs.square() + (values - 1.0).square()).mean()
        return found

    expected = learned(model, loss())
    keep_no_activations(model)
    again = learned(model, loss())
    trained = {name for name, x in model.named_parameters() if x.requires_grad}
    assert expected.keys() == again.keys() == trained
    assert all(torch.equal(expected[name], again[name]) for name in expected)
    assert all(expected[name].abs().sum() > 0 for name in expected)
