"""The three learners as Ray actors on DeepSpeed, as a run starts and stops them."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import ray
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from learners.config import BaseModelConfig, PolicyConfig, SupervisedConfig
from learners.shell import LearnerRank, RewardTrainerRank, SupervisedRank
from learners.weights import ObjectStorePublisher, SharedMemoryPublisher
from protocol.errors import VersionError
from protocol.messages import StoredWeights
from reward_service.bundle import load_bundle
from tests.support import learner_inputs as inputs


def call(ranks: list[Any], method: str, *args: object) -> Any:
    """Call a method on all ranks and return rank 0's answer."""
    answers = ray.get([getattr(rank, method).remote(*args) for rank in ranks], timeout=120)
    assert all(answer is None for answer in answers[1:])
    return answers[0]


def start(ranks: list[Any], *args: object) -> Any:
    host, port = ray.get(ranks[0].address.remote(), timeout=120)
    return call(ranks, "start", host, port, *args)


def stop(ranks: list[Any]) -> None:
    call(ranks, "stop")
    for rank in ranks:
        ray.kill(rank)


@pytest.mark.parametrize("transport", ["shared_memory", "object_store"])
def test_learner(ray_session: None, tiny_model: Path, tmp_path: Path, transport: str):
    make_publisher = {
        "shared_memory": partial(SharedMemoryPublisher, tmp_path / "weights"),
        "object_store": partial(ObjectStorePublisher, ray.put),
    }[transport]
    ranks = [
        LearnerRank.remote(
            rank=rank,
            policy=PolicyConfig(path=str(tiny_model)),
            ppo=inputs.PPO,
            kl=inputs.KL,
            learner=inputs.engine_config(2, 2),
            checkpoint_root=tmp_path / "policies",
            total_episodes=inputs.TOTAL_EPISODES,
            seed=inputs.SEED,
            make_publisher=make_publisher,
        )
        for rank in range(2)
    ]
    policy = start(ranks, inputs.PROBE)
    assert policy.version == 0
    assert probe_of(tiny_model) == pytest.approx(policy.probe.logprobs, abs=1e-4)

    report = call(ranks, "step", inputs.experience_batch(0))
    assert report.policy.version == 1
    assert call(ranks, "step", inputs.experience_batch(0)) == report
    ref = report.policy.weights
    stored = isinstance(ref, StoredWeights)
    payload = ray.get(ref.stored) if stored else Path(ref.path).read_bytes()
    assert hashlib.sha256(payload).hexdigest() == ref.sha256

    assert call(ranks, "checkpoints") == (0,)
    restored = call(ranks, "restore", 0)
    assert (restored.version, restored.restored_from) == (2, 0)
    assert restored.probe == policy.probe
    report = call(ranks, "step", replace(inputs.experience_batch(0), step=2))

    folder = tmp_path / "policy"
    call(ranks, "save", str(folder))
    assert probe_of(folder) == pytest.approx(report.policy.probe.logprobs, abs=1e-4)
    with pytest.raises(VersionError):
        call(ranks, "step", inputs.experience_batch(5))
    stop(ranks)
    assert not (tmp_path / "weights").exists()


def test_reward_trainer(ray_session: None, tiny_model: Path, tmp_path: Path):
    ranks = [
        RewardTrainerRank.remote(
            rank=0,
            policy_path=tiny_model,
            model=inputs.REWARD_MODEL,
            fit=inputs.REWARD_FIT,
            deepspeed=inputs.engine_config(1, 0),
            root=tmp_path / "reward",
        )
    ]
    start(ranks, inputs.reference_sequences())
    refit = call(ranks, "fit", inputs.fit_request())
    warm = call(ranks, "fit", inputs.fit_request("warm", count=5, first=11))
    assert [refit.version, warm.version] == [1, 2]
    for version in (refit, warm):
        assert load_bundle(Path(version.path)).version.sha256 == version.sha256
    stop(ranks)


def test_base_model_from_texts(ray_session: None, tmp_path: Path):
    texts = ["the soup was good .", "the room was not very good ."] * 200
    config = BaseModelConfig(
        width=32,
        layers=1,
        heads=2,
        context_tokens=16,
        training=SupervisedConfig(lr=1e-2, batch_size=8, block_tokens=16),
    )
    ranks = [SupervisedRank.remote(rank=0, config=config)]
    loss = start(ranks, texts, tmp_path / "base")
    assert loss < 1.5  # log of 11 words is 2.4
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "base")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    assert model.config.vocab_size == len(tokenizer)
    assert (tmp_path / "base" / "training.json").is_file()
    stop(ranks)


def probe_of(folder: Path) -> list[float]:
    """What transformers says of the probe under the weights on disk."""
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    ids = torch.tensor([inputs.PROBE])
    with torch.no_grad():
        logprobs = model(input_ids=ids).logits[0, :-1].log_softmax(dim=-1)
    return logprobs.gather(1, ids[0, 1:, None])[:, 0].tolist()
