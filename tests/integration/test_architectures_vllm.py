"""The learner's policy in the real engine, of every architecture, in float32 and in bfloat16."""

from __future__ import annotations

import asyncio
import gc
import random
import time
import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from actors.config import ResponseConfig, RolloutConfig
from actors.worker import RolloutWorker
from learners.config import PolicyConfig, PPOConfig
from learners.ppo import PPOLearner
from learners.weights import SharedMemoryPublisher
from protocol.errors import ProbeMismatch
from protocol.messages import PolicyVersion
from tests.support import learner_inputs as inputs
from tests.support.architectures import ARCHITECTURES, VOCABULARY
from tests.support.engine_environment import engine_environment
from tests.support.plain_engine import PlainEngine
from tests.support.present import present
from tests.support.tiny_model import save_tiny_model

if TYPE_CHECKING:
    from actors.vllm_engine import VllmEngine

pytestmark = [
    # vLLM's own imports and PyTorch's warn of their own futures.
    pytest.mark.filterwarnings("default"),
]

SHAPE = {
    "hidden_size": 64,
    "head_dim": 32,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
}
"""Heads as wide as vLLM's CPU build wants them."""
NUM_TOKENS = 62
"""Of the probe: what a context of 64 leaves room for."""


def save_model(name: str, folder: Path) -> Path:
    save_tiny_model(folder)
    if name == "gpt2":
        return folder
    kind, make_config = ARCHITECTURES[name]
    config = make_config()
    config.update(SHAPE)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        getattr(transformers, kind)(config).save_pretrained(folder)
    return folder


def config_in(dtype: str) -> RolloutConfig:
    return RolloutConfig.model_validate({"kv_cache_gib": 0.0625, "dtype": dtype})


@pytest.fixture
def environment() -> Iterator[None]:
    with engine_environment(config_in("float32")):
        yield


@asynccontextmanager
async def started(folder: Path, dtype: str) -> AsyncIterator[VllmEngine]:
    from actors.vllm_engine import VllmEngine

    engine = VllmEngine(folder, config_in(dtype), seed=1)
    await engine.start()
    try:
        yield engine
    finally:
        await engine.stop()
        # vLLM leaves its ZeroMQ context to the garbage collector, which says so.
        with warnings.catch_warnings(action="ignore"):
            await asyncio.sleep(0)
            gc.collect()


def make_learner(
    folder: Path, root: Path, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> PPOLearner:
    monkeypatch.setattr("learners.ppo.Engine", PlainEngine)
    draw = random.Random(1)
    return PPOLearner(
        policy=PolicyConfig(path=str(folder)),
        ppo=PPOConfig.model_validate({**inputs.PPO.model_dump(), "lr": 3e-3}),
        kl=inputs.KL,
        learner=inputs.engine_config(1, 0),
        checkpoint_root=root / "policy",
        total_episodes=inputs.TOTAL_EPISODES,
        probe_token_ids=[draw.randrange(4, VOCABULARY) for _ in range(NUM_TOKENS)],
        publisher=SharedMemoryPublisher(root / "weights"),
        seed=inputs.SEED,
        actors_dtype=dtype,
    )


def stepped(learner: PPOLearner, number: int) -> PolicyVersion:
    return present(learner.step(inputs.experience_batch(number))).policy


LONG = pytest.mark.long


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        # The two least alike: norms from zero and scaled embeddings; normed queries, an own head.
        ("gemma, norm", "bfloat16"),
        ("qwen3", "float32"),
        pytest.param("gemma, norm", "float32", marks=LONG),
        pytest.param("qwen3", "bfloat16", marks=LONG),
        *(
            pytest.param(name, dtype, marks=LONG)
            for name in ("gpt2", "llama tied", "llama untied", "qwen2", "mistral, sliding window")
            for dtype in ("float32", "bfloat16")
        ),
    ],
)
async def test_the_probe_proves_each_version_and_finds_others(
    environment: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, dtype: str
) -> None:
    folder = save_model(name, tmp_path / "model")
    learner = make_learner(folder, tmp_path, dtype, monkeypatch)
    async with started(folder, dtype) as engine:
        config = config_in(dtype)
        worker = RolloutWorker("r", engine, ResponseConfig(), config, clock=time.time)
        worst = [await worker.load_policy(present(learner.announce()))]
        worst += [await worker.load_policy(stepped(learner, number)) for number in range(3)]
        if dtype == "float32":
            assert max(worst) < 1e-4
        # Weights that come under the name, and with the probe, of others.
        others = SharedMemoryPublisher(tmp_path / "wrong")  # its folder goes with it
        wrong = replace(stepped(learner, 3), weights=others.publish(1, shaken(learner)))
        with pytest.raises(ProbeMismatch):
            await worker.load_policy(wrong)


def shaken(learner: PPOLearner) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {
        name: x * (1 + 0.5 * torch.randn(x.shape, generator=generator))
        for name, x in learner._weights.whole().items()
    }


async def test_an_engine_starts_on_the_files_that_the_learner_reads(
    environment: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in official repositories of Mistral's: the model once more, in its maker's own form."""
    folder = save_model("mistral, sliding window", tmp_path / "model")
    other = {
        name: torch.zeros_like(x) for name, x in load_file(folder / "model.safetensors").items()
    }
    save_file(other, folder / "consolidated.safetensors", metadata={"format": "pt"})
    (folder / "params.json").write_text('{"dim": 64, "n_layers": 2, "vocab_size": 53}')
    learner = make_learner(folder, tmp_path, "float32", monkeypatch)
    async with started(folder, "float32") as engine:
        config = config_in("float32")
        worker = RolloutWorker("r", engine, ResponseConfig(), config, clock=time.time)
        assert await worker.load_policy(present(learner.announce())) < 1e-4
