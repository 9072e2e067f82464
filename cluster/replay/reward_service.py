"""The reward service alone: scores again what was recorded, with the versions' own bundles."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from dataclasses import replace

import torch

from cluster.recordings.crossings import SCORE
from cluster.replay.difference import first_difference
from cluster.replay.outcome import Outcome, Window
from cluster.replay.recording import Recording
from protocol.errors import MissingError, NotFinite
from protocol.fits import RewardVersion
from protocol.messages import Score
from reward_service.buckets import BatchLimits
from reward_service.bundle_manifest import read_manifest
from reward_service.client import RewardClient
from reward_service.config import RewardServiceConfig
from reward_service.hot_swap import LiveModel
from reward_service.retention import bundle_path


def replay_reward_service(
    recording: Recording, window: Window, tolerance: float
) -> Iterator[Outcome]:
    """Score again, each call by the version that answered it, and compare all scores.

    The client splits calls as it did. Which calls shared a forward pass in the run is not known, so
    scores of calls that came together may differ in their last bits.

    Raises:
        MissingError: Nothing was recorded, or a version's adapters lack the model that they are of.
    """
    config = recording.config.reward_service
    torch.set_num_threads(config.torch_threads)
    live: tuple[int, RewardClient] | None = None
    with asyncio.Runner() as runner:
        for exchange in recording.exchanges("scores"):
            if exchange.crossing is not SCORE or not exchange.is_answered or not exchange.ask:
                continue
            version = exchange.answer[0].reward_version
            what = f"{len(exchange.ask)} scores of reward version {version}"
            if not window.holds(version):
                continue
            if live is None or live[0] != version:
                folder = bundle_path(recording.folder.rewards, version)
                try:
                    announced = read_manifest(folder).announcement
                except MissingError:
                    why = f"reward version {version} was not kept (reward_service.keep_versions)"
                    yield Outcome(what=what, place=exchange.place, skipped=why)
                    continue
                # The run's folder may have moved.
                live = version, _client(replace(announced, path=str(folder)), config)
            scores = tuple(runner.run(live[1].score(exchange.ask)))
            difference = first_difference(exchange.answer, scores, tolerance=tolerance)
            yield Outcome(what=what, place=exchange.place, difference=difference)


def _client(version: RewardVersion, config: RewardServiceConfig) -> RewardClient:
    """Return the service's client before one version's model in this process."""
    limits = BatchLimits(max_tokens=config.max_batch_tokens, max_sequences=config.max_batch_size)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = LiveModel([], limits, device, getattr(torch, config.dtype))
    model.swap(version)

    async def submit(sequences: list[tuple[int, ...]]) -> list[Score]:
        model.check(sequences)
        (answer,) = model.score([sequences])
        if isinstance(answer, NotFinite):
            raise answer
        return answer

    async def unasked(*_: object) -> None:
        raise AssertionError("each version has a client of its own")

    return RewardClient(
        submit=submit,
        announce=unasked,
        withdraw=unasked,
        config=config,
        rng=random.Random(0),
    )
