"""What the probe finds, and what it lets pass, where engine or learner is in bfloat16."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save
from torch import Tensor
from transformers import AutoModelForCausalLM

from actors.config import RolloutConfig
from actors.weights import Weights
from actors.worker import RolloutWorker
from learners.config import DeepSpeedConfig, PPOConfig
from learners.own_probe import OwnProbe
from learners.policy_model import PolicyModel
from protocol.errors import NotFinite, ProbeMismatch
from protocol.messages import PolicyVersion, WeightsFile
from tests.support.architectures import save_architecture
from tests.support.fake_engine import FakeEngine
from tests.support.labels import ManualClock
from tests.support.metric_proofs import proves
from tests.support.plain_engine import PlainEngine
from tests.support.rollout_worker import RESPONSE
from tests.support.tiny_model import save_tiny_model

NUM_TOKENS = 62
"""Of the probe: what the tiny models' context of 64 leaves room for."""
VOCABULARY = 48
STEP = 0.05
"""Standard deviation of a step, as a share of that of each weight."""


class Learner:
    """Announces versions, each a small step of all weights from the one before."""

    def __init__(self, folder: Path, out: Path, *, dtype: str, actors_dtype: str) -> None:
        model = PolicyModel.from_pretrained(folder, PPOConfig()).to(getattr(torch, dtype)).eval()
        draw = random.Random(1)
        token_ids = [draw.randrange(4, VOCABULARY) for _ in range(NUM_TOKENS)]
        engine: Any = PlainEngine(model, DeepSpeedConfig())
        self.probe = OwnProbe(token_ids, engine, dtype=dtype, actors_dtype=actors_dtype)
        self.model: Any = model.language_model
        self._generator = torch.Generator().manual_seed(2)
        self._out = out
        self._version = 0

    @torch.no_grad()
    def step(self, size: float = STEP) -> PolicyVersion:
        for each in self.model.parameters():
            spread = size * each.float().std()
            each.add_((spread * torch.randn(each.shape, generator=self._generator)).to(each.dtype))
        self._version += 1
        return self.announce()

    def announce(self) -> PolicyVersion:
        content = save({name: x.clone() for name, x in self.model.state_dict().items()})
        path = self._out / f"v{self._version}"
        path.write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        return PolicyVersion(
            version=self._version,
            episodes=0,
            weights=WeightsFile(path=str(path), sha256=digest, num_bytes=len(content)),
            probe=self.probe.ask(self._version),
            reward_version=0,
            learned_through=0,
        )


Change = Callable[[dict[str, Tensor]], dict[str, Tensor]]


class ModelEngine(FakeEngine):
    """Scores with transformers, in a type and by an attention of its own."""

    def __init__(self, folder: Path, dtype: str, attention: str) -> None:
        super().__init__(context_length=64)
        self.model: Any = AutoModelForCausalLM.from_pretrained(
            folder, dtype=getattr(torch, dtype), attn_implementation=attention
        ).eval()
        self.wrongly: Change = dict
        """What becomes of weights on their way in."""
        self.temperature = 1.0
        self.first_position = 0

    async def load(self, version: int, weights: Weights) -> None:
        assert isinstance(weights, Path)
        self.model.load_state_dict(self.wrongly(load_file(weights)), strict=False)

    async def score(self, token_ids: Any) -> tuple[float, ...]:
        sequence = torch.tensor(list(token_ids))
        positions = torch.arange(len(sequence)) + self.first_position
        with torch.no_grad():
            said = self.model(sequence[None], position_ids=positions[None], use_cache=False)
        logprobs = (said.logits[0, :-1].float() / self.temperature).log_softmax(-1)
        return tuple(logprobs.gather(1, sequence[1:, None])[:, 0].tolist())


@pytest.fixture(params=["gpt2", "llama untied", "qwen3"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param == "gpt2":
        return save_tiny_model(tmp_path / "model")
    return save_architecture(request.param, tmp_path / "model")


@pytest.fixture
def gpt2(tmp_path: Path) -> Path:
    return save_tiny_model(tmp_path / "gpt2")


def both(
    folder: Path,
    out: Path,
    *,
    learner: str = "float32",
    engine: str = "bfloat16",
    attention: str = "eager",
) -> tuple[Learner, ModelEngine, RolloutWorker]:
    inner = ModelEngine(folder, engine, attention)
    config = RolloutConfig.model_validate({"dtype": engine})
    worker = RolloutWorker("rollout-0", inner, RESPONSE, config, clock=ManualClock())
    return Learner(folder, out, dtype=learner, actors_dtype=engine), inner, worker


@pytest.mark.parametrize(
    ("learner", "engine", "attention"),
    [
        ("float32", "bfloat16", "eager"),
        ("float32", "bfloat16", "sdpa"),
        ("bfloat16", "bfloat16", "eager"),
        ("bfloat16", "bfloat16", "sdpa"),
        ("bfloat16", "float32", "sdpa"),
        ("float32", "float16", "sdpa"),
    ],
)
@pytest.mark.parametrize("size", [STEP, 1e-4])
async def test_sound_pairs_pass_version_after_version(
    folder: Path, tmp_path: Path, learner: str, engine: str, attention: str, size: float
) -> None:
    own, _, worker = both(folder, tmp_path, learner=learner, engine=engine, attention=attention)
    worst = [await worker.load_policy(own.announce())]
    worst += [await worker.load_policy(own.step(size)) for _ in range(8)]
    if engine == "bfloat16" and attention == "eager":
        assert max(worst) > RolloutConfig().probe_tolerance, "no token differs by what float32 may"


def keeping(lasting: dict[str, Tensor], *names: str) -> Change:
    """Leave some weights as they were."""
    return lambda tensors: {
        name: lasting[name].clone() if name.endswith(names) else x for name, x in tensors.items()
    }


def _permuted(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    name = next(name for name in tensors if "mlp" in name and name.endswith("weight"))
    return {**tensors, name: tensors[name].roll(1, dims=0)}


def _scaled(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    name = next(name for name in tensors if "mlp" in name and name.endswith("weight"))
    return {**tensors, name: tensors[name] * 1.25}


def _nothing(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {}


@pytest.mark.parametrize("learner", ["float32", "bfloat16"])
@pytest.mark.parametrize("change", [_permuted, _scaled, _nothing])
async def test_wrong_weights_are_found(
    folder: Path, tmp_path: Path, learner: str, change: Change
) -> None:
    own, engine, worker = both(folder, tmp_path, learner=learner)
    await worker.load_policy(own.announce())
    await worker.load_policy(own.step())
    engine.wrongly = change
    with pytest.raises(ProbeMismatch, match="log-probabilities differ from the learner's"):
        await worker.load_policy(own.step())


@pytest.mark.parametrize("learner", ["float32", "bfloat16"])
async def test_a_head_left_as_it_was_is_found(tmp_path: Path, learner: str) -> None:
    folder = save_architecture("llama untied", tmp_path / "model")
    own, engine, worker = both(folder, tmp_path, learner=learner)
    await worker.load_policy(own.announce())
    engine.wrongly = keeping(dict(engine.model.state_dict()), "lm_head.weight")
    with pytest.raises(ProbeMismatch):
        await worker.load_policy(own.step(4 * STEP))


@pytest.mark.parametrize("learner", ["float32", "bfloat16"])
@pytest.mark.parametrize(("temperature", "first_position"), [(0.9, 0), (1.1, 0), (1.0, 1)])
async def test_another_temperature_or_other_positions_are_found(
    gpt2: Path, tmp_path: Path, learner: str, temperature: float, first_position: int
) -> None:
    own, engine, worker = both(gpt2, tmp_path, learner=learner)
    engine.temperature, engine.first_position = temperature, first_position
    with pytest.raises(ProbeMismatch, match=r"nats .* of the probe, rounding moves"):
        await worker.load_policy(own.announce())


async def test_in_float32_one_token_is_enough(gpt2: Path, tmp_path: Path) -> None:
    own, _, worker = both(gpt2, tmp_path, engine="float32")
    policy = own.announce()
    assert policy.probe.rounded == ()
    assert own.probe.rounding_metrics(torch.ones(2), 0) == {}
    assert await worker.load_policy(policy) < 1e-4
    first, *rest = own.step().probe.logprobs
    off = replace(policy, version=2, probe=replace(policy.probe, logprobs=(first + 2e-3, *rest)))
    with pytest.raises(ProbeMismatch, match=r"nats at token \d+ of the probe, 0.001 is allowed"):
        await worker.load_policy(off)


@proves("rollout/rounding_mean")
def test_what_rounding_moves_is_told_at_the_temperature_of_the_batch(
    gpt2: Path, tmp_path: Path
) -> None:
    own, _, _ = both(gpt2, tmp_path)
    moved = own.announce().probe.rounding
    mean = sum(moved) / len(moved)
    assert mean > 1e-3
    told = own.probe.rounding_metrics(torch.tensor([0.5, 0.5, 1.0]), 0)
    assert told == {"rollout/rounding_mean": pytest.approx(mean * 5 / 3)}
    with torch.no_grad():
        own.model.transformer.wte.weight.mul_(2.0)
    again = own.probe.rounding_metrics(torch.ones(1), 0)["rollout/rounding_mean"]
    assert again == pytest.approx(mean)
    other = own.probe.rounding_metrics(torch.ones(1), 1)  # of another version it is asked again
    assert other["rollout/rounding_mean"] != pytest.approx(mean)


def test_a_rounded_pass_leaves_the_model_as_it_was(gpt2: Path, tmp_path: Path) -> None:
    own, _, _ = both(gpt2, tmp_path)
    first = own.probe.ask(0)
    assert own.probe.ask(0) == first
    assert not any(each._forward_hooks for each in own.model.modules())


def test_a_policy_too_large_for_the_actors_type_says_so(gpt2: Path, tmp_path: Path) -> None:
    own, _, _ = both(gpt2, tmp_path, engine="float16")
    with torch.no_grad():
        own.model.transformer.wte.weight.mul_(1e6)
    with pytest.raises(NotFinite, match="policy version 3 in float16"):
        own.probe.ask(3)
