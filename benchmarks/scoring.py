"""Sequences per second through the reward service, against the bare forward pass.

    python -m benchmarks.scoring [--width 128 --layers 4] [--calls 8] [--turns 9] [--replicas 1]

One reward model (by default of 0.9 M weights, as the demo's: GPT-2, width 128, 4 layers, 500
tokens; `--width 768 --layers 12` is GPT-2 small without its vocabulary, 85 M), sequences of 32
tokens, one thread a process. By handle a call holds 128 sequences or one; over HTTP a request holds
one, and 128 clients beside the servers, on the same cores, keep their connections. What HTTP itself
costs is read by requests for a page that is not there. The ways take turns, so that a busy
neighbour slows all alike: a share is the median of one turn's. After them stands the CPU that each
process took for a sequence.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import random
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import click
import psutil
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from benchmarks.cpu_times import CpuTimes
from cluster.starting.environment import prepare_environment
from reward_service.batching import score_sequences
from reward_service.buckets import BatchLimits
from reward_service.config import RewardModelConfig, RewardServiceConfig
from reward_service.reward_model import RewardModel
from tests.support.tiny_model import WORDS, save_tiny_model

if TYPE_CHECKING:
    from benchmarks.served_reward import ServedReward

BATCH = 128
LENGTH = 32
VOCABULARY = 500
WIDTH, LAYERS = 128, 4
HEAD_WIDTH = 32
PATIENCE_S = 600.0
"""For one call."""
LEAST_SHOWN_MS = 0.02
"""CPU of a process for each sequence, above which it is named."""
SERVING = ("ray::ServeReplica", "ray::AnnouncerShell", "ray::RewardFace")
"""Processes whose memory is told."""


def save_reference(folder: Path, width: int = WIDTH, layers: int = LAYERS) -> Path:
    """Write a policy, by default of the demo's size, untrained, with some tokenizer."""
    save_tiny_model(folder)
    config = GPT2Config(
        vocab_size=VOCABULARY, n_positions=64, n_embd=width, n_layer=layers,
        n_head=width // HEAD_WIDTH, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    GPT2LMHeadModel(config).save_pretrained(folder)
    return folder


@dataclass(slots=True)
class Way:
    """One way to have sequences scored, and how fast it was."""

    name: str
    score: Callable[[int], Awaitable[None]]
    """Scores so many batches of 128."""
    wanted: float | None = None
    """Share of the bare forward pass."""
    paces: list[float] = field(default_factory=list)
    """Sequences/s of each turn."""
    cpu_s: dict[str, float] = field(default_factory=dict)
    """CPU seconds of each process over all turns."""

    async def take_turn(self, calls: int) -> None:
        """Score so many batches, and note how long that took."""
        cpu, start = CpuTimes(), time.perf_counter()
        await self.score(calls)
        self.paces.append(BATCH * calls / (time.perf_counter() - start))
        for name, seconds in cpu.seconds():
            self.cpu_s[name] = self.cpu_s.get(name, 0.0) + seconds

    def row(self, bare: Sequence[float]) -> str:
        """Return its line of the table, beside the paces of the bare forward pass."""
        share = statistics.median(own / of for own, of in zip(self.paces, bare, strict=True))
        wanted = "" if self.wanted is None else f"{self.wanted:.2f}"
        return f"{self.name:45s} {statistics.median(self.paces):8.0f} {share:8.2f} {wanted:>8s}"

    def cpu_row(self, calls: int) -> str:
        """Return what each process took for a sequence, the busiest first."""
        scored = BATCH * calls * len(self.paces)
        each = {name: 1e3 * seconds / scored for name, seconds in self.cpu_s.items()}
        busiest = sorted(each, key=lambda name: -each[name])
        shown = (f"{n} {each[n]:.2f}" for n in busiest if each[n] >= LEAST_SHOWN_MS)
        return f"{self.name}: {', '.join(shown)}"


def ways(service: ServedReward, model: RewardModel, config: RewardServiceConfig) -> list[Way]:
    """Return all ways, the bare forward pass first."""
    sequences = torch.randint(3, VOCABULARY, (BATCH, LENGTH)).tolist()
    draw = random.Random(0)
    texts = [" ".join(draw.choices(WORDS.split(), k=LENGTH)) for _ in range(BATCH)]
    limits = BatchLimits(max_tokens=config.max_batch_tokens, max_sequences=config.max_batch_size)

    async def bare(calls: int) -> None:
        for _ in range(calls):
            score_sequences(model, sequences, 1, limits)

    async def in_batches(calls: int) -> None:
        for _ in range(calls):
            await service.client.score(sequences)

    async def by_two(calls: int) -> None:
        await asyncio.gather(in_batches(calls // 2), in_batches(calls - calls // 2))

    async def singly(calls: int) -> None:
        for _ in range(calls):
            await asyncio.gather(*(service.client.score([sequence]) for sequence in sequences))

    async def over_http(calls: int) -> None:
        bodies = ({"query": [text]} for text in itertools.chain(*[texts] * calls))
        await ask_at_once("POST", f"{service.url}/get_reward", 200, bodies)

    async def for_nothing(calls: int) -> None:
        await ask_at_once(
            "GET", f"{service.url}/nowhere", 404, itertools.repeat(None, BATCH * calls)
        )

    return [
        Way("forward pass in this process", bare),
        Way(f"by handle, {BATCH} a call, 1 call at a time", in_batches),
        Way(f"by handle, {BATCH} a call, 2 calls at a time", by_two, 0.95),
        Way(f"by handle, 1 a call, {BATCH} calls at a time", singly),
        Way(f"over HTTP, 1 a request, {BATCH} clients", over_http, 0.7),
        Way(f"HTTP alone, nothing scored, {BATCH} clients", for_nothing),
    ]


async def ask_at_once(method: str, url: str, status: int, bodies: Iterable[object]) -> None:
    """Send a request for each body, by so many clients at a time as a batch has sequences."""
    left = iter(bodies)
    unbounded = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=unbounded) as http:

        async def ask() -> None:
            for body in left:
                async with http.request(method, url, json=body) as response:
                    answer = await response.read()
                    assert response.status == status, answer

        await asyncio.gather(*(ask() for _ in range(BATCH)))


async def measure(all_ways: Sequence[Way], turns: int, calls: int) -> None:
    """Take the turns; print how fast each way was, and what it took."""
    for way in all_ways:
        await way.score(1)
    for _ in range(turns):
        for way in all_ways:
            await way.take_turn(calls)
    click.echo(f"{'way':45s} {'seq/s':>8s} {'of bare':>8s} {'wanted':>8s}")
    for way in all_ways:
        click.echo(way.row(all_ways[0].paces))
    click.echo("CPU of each process, ms a sequence")
    for way in all_ways:
        click.echo(way.cpu_row(calls))
    for process in psutil.Process().children(recursive=True):
        if process.name().startswith(SERVING):
            mib = process.memory_full_info().pss / 2**20
            click.echo(f"memory of {process.name()}: {mib:.0f} MiB")


def main() -> None:
    """Measure the forward pass here and the same through the service."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--width", type=int, default=WIDTH)
    parser.add_argument("--layers", type=int, default=LAYERS)
    parser.add_argument("--calls", type=int, default=8, help="batches of 128 in a turn")
    parser.add_argument("--turns", type=int, default=9)
    parser.add_argument("--replicas", type=int, default=1)
    arguments = parser.parse_args()
    prepare_environment(None)  # before Ray is imported
    from benchmarks.served_reward import served_reward

    torch.set_num_threads(1)
    # A large model on a busy machine takes its time; what is lost here is no answer.
    config = RewardServiceConfig(replicas=arguments.replicas, timeout_s=PATIENCE_S)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "reference"
        reference = save_reference(folder, arguments.width, arguments.layers)
        generator = torch.Generator().manual_seed(0)
        model = RewardModel.from_reference(reference, RewardModelConfig(), generator).eval()
        weights = sum(parameter.numel() for parameter in model.parameters())
        click.echo(f"{weights / 1e6:.1f} M weights")
        with served_reward(model, reference, config) as service:
            every = ways(service, model, config)
            asyncio.run(measure(every, arguments.turns, arguments.calls))


if __name__ == "__main__":
    main()
