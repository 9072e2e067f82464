"""Adapters that travel alone into the real engine: the learner's own policy, by its probe."""

from __future__ import annotations

import asyncio
import gc
import time
import warnings
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaForCausalLM
from trl.trainer.utils import create_model_from_path

from actors.config import ResponseConfig, RolloutConfig
from actors.response import end_rule
from actors.worker import RolloutWorker
from learners.config import PolicyConfig, PPOConfig
from learners.ppo import PPOLearner
from learners.weights import ObjectStorePublisher, SharedMemoryPublisher
from protocol.messages import PolicyVersion, Prompt, Rollout, RolloutRequest, Sampling
from protocol.ports import WeightPublisher
from reward_service.config import LoRAConfig
from tests.support import learner_inputs as inputs
from tests.support.architectures import ARCHITECTURES
from tests.support.engine_environment import engine_environment
from tests.support.plain_engine import PlainEngine
from tests.support.present import present
from tests.support.stored import Stored
from tests.support.tiny_model import save_tiny_model

if TYPE_CHECKING:
    from actors.vllm_engine import VllmEngine

pytestmark = [
    # vLLM's own imports and PyTorch's warn of their own futures.
    pytest.mark.filterwarnings("default"),
]

CONFIG = RolloutConfig(kv_cache_gib=0.0625)
RESPONSE = ResponseConfig(max_tokens=24)
LORA = LoRAConfig(rank=4, alpha=8.0)


def save_llama(folder: Path, *, is_tied: bool) -> Path:
    """Write a Llama whose heads are as wide as vLLM's CPU build wants them."""
    save_tiny_model(folder)
    _, make_config = ARCHITECTURES["llama tied"]
    config = make_config()
    config.update(
        {
            "hidden_size": 64,
            "head_dim": 32,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "tie_word_embeddings": is_tied,
        }
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture(params=["gpt2", pytest.param("llama tied", marks=pytest.mark.long), "llama untied"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param == "gpt2":
        return save_tiny_model(tmp_path / "model")
    return save_llama(tmp_path / "model", is_tied=request.param == "llama tied")


@pytest.fixture
def environment() -> Iterator[None]:
    with engine_environment(CONFIG):
        yield


async def end(engine: VllmEngine) -> None:
    """Stop an engine, whose ZeroMQ context vLLM leaves to the garbage collector, which says so."""
    await engine.stop()
    with warnings.catch_warnings(action="ignore"):
        await asyncio.sleep(0)
        gc.collect()


@pytest.fixture
async def engine(environment: None, folder: Path) -> AsyncIterator[VllmEngine]:
    from actors.vllm_engine import VllmEngine

    engine = VllmEngine(folder, CONFIG, seed=1)
    await engine.start()
    yield engine
    await end(engine)


async def test_a_saved_policy_is_served_and_trained_on_as_any_model(
    environment: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from actors.vllm_engine import VllmEngine

    monkeypatch.setattr("learners.ppo.Engine", PlainEngine)
    folder = save_llama(tmp_path / "model", is_tied=True)
    learner = make_learner(folder, tmp_path, SharedMemoryPublisher(tmp_path / "weights"))
    said = step(learner, 0).probe.logprobs
    learner.save(tmp_path / "saved")
    served = VllmEngine(tmp_path / "saved", CONFIG, seed=1)
    await served.start()
    try:
        assert await served.score(inputs.PROBE) == pytest.approx(said, abs=1e-4)
    finally:
        await end(served)
    # As TRL's trainers load what they are given by its path.
    model = create_model_from_path(str(tmp_path / "saved"), dtype="float32")
    sequence = torch.tensor(inputs.PROBE)
    with torch.no_grad():
        logprobs = model(sequence[None]).logits[0, :-1].log_softmax(-1)
    trained_on = logprobs.gather(1, sequence[1:, None])[:, 0].tolist()
    assert trained_on == pytest.approx(said, abs=1e-4)


def make_learner(folder: Path, root: Path, publisher: WeightPublisher) -> PPOLearner:
    return PPOLearner(
        policy=PolicyConfig(path=str(folder), lora=LORA),
        ppo=PPOConfig.model_validate({**inputs.PPO.model_dump(), "lr": 1e-2}),
        kl=inputs.KL,
        learner=inputs.engine_config(1, 0),
        checkpoint_root=root / "policy",
        total_episodes=inputs.TOTAL_EPISODES,
        probe_token_ids=inputs.PROBE,
        publisher=publisher,
        seed=inputs.SEED,
    )


def request(number: int) -> RolloutRequest:
    prompt = Prompt(prompt_id=f"p-{number}", text="", token_ids=(5, 6, 7, 8 + number % 9))
    sampling = Sampling(temperature=0.7, max_tokens=24)
    return RolloutRequest(
        rollout_id=f"t-{number}", prompt=prompt, purpose="train", sampling=sampling
    )


def logprobs_by(model: Any, rollout: Rollout) -> list[float]:
    """What transformers says of a response."""
    sequence = torch.tensor(rollout.prompt.token_ids + rollout.token_ids)
    with torch.no_grad():
        logits = model(sequence[None]).logits[0, :-1] / rollout.sampling.temperature
    chosen = logits.log_softmax(-1).gather(1, sequence[1:, None])[:, 0]
    return [float(value) for value in chosen[len(rollout.prompt.token_ids) - 1 :]]


def step(learner: PPOLearner, number: int) -> PolicyVersion:
    return present(learner.step(inputs.experience_batch(number))).policy


async def test_an_engine_samples_the_adapted_policy_version_after_version(
    engine: VllmEngine, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("learners.ppo.Engine", PlainEngine)
    worker = RolloutWorker("rollout-0", engine, RESPONSE, CONFIG, clock=time.time)
    worker._end_rule = end_rule(
        RESPONSE, model_end_ids=engine.end_token_ids, ids_reading=engine.ids_reading
    )
    learner = make_learner(folder, tmp_path, SharedMemoryPublisher(tmp_path / "weights"))
    assert await worker.load_policy(present(learner.announce())) < 1e-4
    for number in range(2):
        assert await worker.load_policy(step(learner, number)) < 1e-4
    learner.save(tmp_path / "saved")
    model: Any = AutoModelForCausalLM.from_pretrained(tmp_path / "saved")
    for rollout in await worker.generate([request(number) for number in range(4)]):
        assert rollout.behavior_logprobs == pytest.approx(logprobs_by(model, rollout), abs=1e-4)
    # While responses are drawn; and by way of a store, in pieces.
    draws = asyncio.create_task(worker.generate([request(number) for number in range(4, 68)]))
    learner._publisher = ObjectStorePublisher(Stored, piece_bytes=500)
    assert await worker.load_policy(step(learner, 2)) < 1e-4
    for rollout in await draws:
        assert list(rollout.policy_versions) == sorted(rollout.policy_versions)
    # Back at ρ, which no adapter of a later version may shine through.
    assert await worker.load_policy(present(learner.restore(0))) < 1e-4
