"""New weights for an engine that is at work: how long it stands still, and how fast they come.

    python -m benchmarks.weight_updates [--turns 5] [--sizes "5 MB" "100 MB" "1 GB"]

GPT-2s with random weights in float32. One process publishes, as the learner's rank 0 does, by
shared memory and through Ray's object store; another is a rollout actor with vLLM, which has eight
responses to draw and is handed a version meanwhile: it checks the bytes, loads them, and proves
them by the probe. The pause is the time between the last token of the old version and the first of
the new one, less that of a step, from the stream of tokens. Bytes a second are of the whole way,
from tensors in the one process until they are proved in the other; beside them stands one copy of
as many bytes in memory. The ways take turns; figures are medians over the turns, after one that
does not count. The table is Markdown.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import click
import ray
import torch
from torch import Tensor
from transformers import GPT2LMHeadModel

from actors.config import RolloutConfig
from benchmarks.local_ray import local_ray
from benchmarks.weight_updates.models import SIZES, ask, change, make_model, num_bytes, save_model
from benchmarks.weight_updates.streaming import StreamingActor
from cluster.starting.publishers import SHARED_MEMORY
from learners.weights import ObjectStorePublisher, SharedMemoryPublisher
from protocol.messages import PolicyVersion
from protocol.ports import WeightPublisher
from protocol.remote import Remote, spawn

CONFIG = RolloutConfig(weight_transport="shared_memory")
MOST_PAUSE_S = 0.03
"""Wanted of the smallest."""
LEAST_SHARE = 0.5
"""Share of a copy's bytes a second, wanted of the largest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """One version on its way, in seconds."""

    copied_s: float
    """One copy of its bytes in memory."""
    published_s: float
    taken_s: float
    """From the announcement to the proof."""
    pause_s: float
    step_s: float

    @property
    def share(self) -> float:
        """Bytes a second of the whole way, of a copy's."""
        return self.copied_s / (self.published_s + self.taken_s)


def copied_s(count: int) -> float:
    """Return the seconds that one copy of so many bytes takes, from memory that is in use."""
    source, target = torch.ones(count, dtype=torch.uint8), torch.zeros(count, dtype=torch.uint8)
    started = time.perf_counter()
    target.copy_(source)
    return time.perf_counter() - started


def publishers(folder: Path) -> dict[str, Callable[[], WeightPublisher]]:
    """Return what makes each of the learner's ends."""
    return {
        "shared memory": lambda: SharedMemoryPublisher(folder, kept_versions=1),
        "object store": lambda: ObjectStorePublisher(ray.put, kept_versions=1),
    }


async def update(
    model: GPT2LMHeadModel,
    version: int,
    publisher: WeightPublisher,
    actor: Remote[StreamingActor],
    num_tokens: int,
) -> Update:
    """Change the model, publish it, and have the actor take it up."""
    change(model)
    tensors: Mapping[str, Tensor] = model.state_dict()
    probe = ask(model)
    copied = copied_s(num_bytes(tensors.values()))
    started = time.perf_counter()
    weights = publisher.publish(version, tensors)
    published = time.perf_counter() - started
    policy = PolicyVersion(
        version=version,
        episodes=0,
        weights=weights,
        probe=probe,
        reward_version=0,
        learned_through=0,
    )
    uptake = await actor.ask(StreamingActor.take, policy, num_tokens)
    return Update(
        copied_s=copied,
        published_s=published,
        taken_s=uptake.seconds,
        pause_s=uptake.pause_s,
        step_s=uptake.step_s,
    )


async def measure(name: str, turns: int, folder: Path) -> dict[str, list[Update]]:
    """Return all updates of a model of one size, by way."""
    size = SIZES[name]
    model = make_model(size)
    path = save_model(model, folder / "policy")
    start = spawn(StreamingActor, "rollout actor", {"num_cpus": 1, "max_concurrency": 10})
    actor = start(str(path), CONFIG)
    await actor.ask(StreamingActor.start)
    ends = {way: make() for way, make in publishers(SHARED_MEMORY / "andon-weight-updates").items()}
    found: dict[str, list[Update]] = defaultdict(list)
    version = 0
    try:
        for turn in range(turns + 1):
            for way, publisher in ends.items():
                version += 1
                done = await update(model, version, publisher, actor, size.stream_tokens)
                click.echo(f"turn {turn}: {name}, {way}: {done}")
                if turn:
                    found[way].append(done)
    finally:
        for publisher in ends.values():
            publisher.close()
        await actor.ask(StreamingActor.stop)
        ray.kill(actor.handle)
    return found


def row(name: str, way: str, updates: Sequence[Update], wanted: str) -> str:
    """Return a line of the table: medians, and the pause's range."""

    def middle(figure: Callable[[Update], float]) -> float:
        return median(map(figure, updates))

    pauses = sorted(each.pause_s * 1e3 for each in updates)
    cells = (
        name,
        way,
        f"{middle(lambda each: each.copied_s) * 1e3:.1f}",
        f"{middle(lambda each: each.published_s) * 1e3:.0f}",
        f"{middle(lambda each: each.taken_s) * 1e3:.0f}",
        f"{middle(lambda each: each.step_s) * 1e3:.0f}",
        f"{median(pauses):.0f} ({pauses[0]:.0f} to {pauses[-1]:.0f})",
        f"{middle(lambda each: each.share):.2f}",
        wanted,
    )
    return f"| {' | '.join(cells)} |"


HEAD = """\
| weights | by | a copy, ms | published, ms | taken up, ms | a step, ms | pause, ms | bytes/s of a \
copy's | wanted |
| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |"""
WANTED = {
    "5 MB": f"pause {MOST_PAUSE_S * 1e3:.0f} ms",
    "1 GB": f"{LEAST_SHARE} of a copy's",
}


def main() -> None:
    """Run from the command line; see the module."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--sizes", nargs="+", choices=tuple(SIZES), default=tuple(SIZES))
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    lines = [HEAD]
    with local_ray():
        for name in chosen.sizes:
            with tempfile.TemporaryDirectory() as folder:
                found = asyncio.run(measure(name, chosen.turns, Path(folder)))
            for way, updates in found.items():
                lines.append(row(name, way, updates, WANTED.get(name, "")))
    click.echo("\n".join(lines))


if __name__ == "__main__":
    main()
