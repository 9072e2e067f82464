"""Sequences per second through the reward service, against the bare forward pass.

    python -m benchmarks.scoring [--replicas 1] [--turns 9]

One reward model of 0.9 M parameters (GPT-2: width 128, 4 layers, 500 tokens), batches of 128
sequences of 32 tokens, one thread a process. The ways take turns, so that a busy neighbour slows
all alike; each line is the median over the turns.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import ray
import torch
from ray import serve
from transformers import GPT2Config, GPT2LMHeadModel

from reward_service.batching import score_sequences
from reward_service.buckets import BatchLimits
from reward_service.bundle import write_bundle
from reward_service.client import RewardClient
from reward_service.config import RewardModelConfig, RewardServiceConfig
from reward_service.reward_model import RewardModel
from reward_service.shell import build_reward_app, connect, start_announcer
from tests.support.reward import make_reward_version
from tests.support.tiny_model import save_tiny_model

BATCH = 128
LENGTH = 32
VOCABULARY = 500
CALLS_A_TURN = 8


def save_reference(folder: Path) -> Path:
    """Write a policy of the demo's size, untrained, with some tokenizer; return the folder."""
    save_tiny_model(folder)
    config = GPT2Config(
        vocab_size=VOCABULARY, n_positions=64, n_embd=128, n_layer=4, n_head=4,
        bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    GPT2LMHeadModel(config).save_pretrained(folder)
    return folder


@contextmanager
def serving(
    model: RewardModel, reference: Path, config: RewardServiceConfig
) -> Iterator[RewardClient]:
    """Serve a model on a local Ray without an HTTP proxy."""
    version = write_bundle(reference.parent / "reward", model, make_reward_version(1))
    ray.init(
        "local",
        include_dashboard=False,
        _node_ip_address="127.0.0.1",
        num_cpus=8,
        log_to_driver=False,
    )
    serve.start(proxy_location="Disabled")
    announcer = start_announcer("reward-announcer", config, version)
    app = build_reward_app(
        announcer=announcer,
        policy_path=reference,
        validation=[(3, 4, 5)],
        config=config,
        actor_options={"num_cpus": 1},
    )
    try:
        yield connect(serve.run(app, name="reward"), announcer, config, seed=0)
    finally:
        serve.shutdown()
        ray.shutdown()


async def rate(score: Callable[[], Awaitable[object]], concurrent: int) -> float:
    """Return sequences per second of one turn with so many calls under way."""

    async def caller() -> None:
        for _ in range(CALLS_A_TURN // concurrent):
            await score()

    start = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(concurrent)))
    return BATCH * CALLS_A_TURN / (time.perf_counter() - start)


async def measure(
    client: RewardClient, model: RewardModel, config: RewardServiceConfig, turns: int
) -> None:
    """Print the median pace of each way, and the memory of the service's processes."""
    sequences = torch.randint(3, VOCABULARY, (BATCH, LENGTH)).tolist()
    limits = BatchLimits(max_tokens=config.max_batch_tokens, max_sequences=config.max_batch_size)

    async def forward() -> None:
        score_sequences(model, sequences, 1, limits)

    async def batch() -> None:
        await client.score(sequences)

    async def singly() -> None:
        await asyncio.gather(*(client.score([sequence]) for sequence in sequences))

    ways = {
        "forward pass in this process": (forward, 1),
        f"by handle, {BATCH} a call, 1 call at a time": (batch, 1),
        f"by handle, {BATCH} a call, 2 calls at a time": (batch, 2),
        f"by handle, 1 a call, {BATCH} calls at a time": (singly, 1),
    }
    paces: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(turns):
        for name, (score, concurrent) in ways.items():
            paces[name].append(await rate(score, concurrent))
    for name, values in paces.items():
        report(name, statistics.median(values), "sequences/s")
    for process in psutil.process_iter(["name"]):
        if process.info["name"].startswith(("ray::ServeReplica", "ray::AnnouncerShell")):
            report(process.info["name"], process.memory_full_info().pss / 2**20, "MiB")


def report(name: str, value: float, unit: str) -> None:
    """Print one line of the table."""
    print(f"{name:50s} {value:8.0f} {unit}")  # noqa: T201


def main() -> None:
    """Measure the forward pass here and the same through Serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replicas", type=int, default=1)
    parser.add_argument("--turns", type=int, default=9)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    config = RewardServiceConfig(replicas=arguments.replicas)
    with tempfile.TemporaryDirectory() as scratch:
        reference = save_reference(Path(scratch) / "reference")
        generator = torch.Generator().manual_seed(0)
        model = RewardModel.from_reference(reference, RewardModelConfig(), generator).eval()
        with serving(model, reference, config) as client:
            asyncio.run(measure(client, model, config, arguments.turns))


if __name__ == "__main__":
    main()
