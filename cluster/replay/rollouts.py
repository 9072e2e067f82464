"""A rollout actor alone: draws again, by the seeds of the requests, what was recorded.

Weights of a policy version come from its checkpoint by way of the learner, and are proved as in a
run. A response that grew over a change of weights, or one without a seed, cannot be drawn again.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from actors.environment import set_engine_environment
from actors.worker import RolloutWorker
from cluster.recordings.crossings import GENERATE
from cluster.recordings.exchanges import Exchange
from cluster.replay.difference import first_difference
from cluster.replay.learner import copy_checkpoint, make_learner, one_rank
from cluster.replay.outcome import Outcome, Window
from cluster.replay.recording import Recording, scratch
from learners.weights import SharedMemoryPublisher
from protocol.messages import PolicyVersion, Rollout, RolloutRequest

OF_ITS_OWN = ("actor_id", "started_at", "finished_at")
"""Fields of a rollout that say who drew it and when, and may differ."""


def replay_rollouts(recording: Recording, window: Window, tolerance: float) -> Iterator[Outcome]:
    """Draw again, and compare token for token; log-probabilities within a tolerance.

    Versions are those of the policy that drew a response.

    Raises:
        MissingError: Nothing was recorded.
    """
    with ExitStack() as stack:
        root = stack.enter_context(scratch())
        runner = stack.enter_context(asyncio.Runner())
        actor: _Actor | None = None
        for exchange in recording.exchanges("rollouts"):
            if exchange.crossing is not GENERATE or not exchange.is_answered:
                continue
            chosen = [each for each in exchange.answer if window.holds(each.oldest_version)]
            for rollout in chosen:
                if why := _why_not(recording, rollout):
                    yield Outcome(what=rollout.rollout_id, place=exchange.place, skipped=why)
            rest = [each for each in chosen if not _why_not(recording, each)]
            for version in sorted({each.oldest_version for each in rest}):
                of_version = [each for each in rest if each.oldest_version == version]
                if actor is None or actor.version > version:
                    if actor is not None:
                        runner.run(actor.stop())
                    actor = _Actor(recording, root)
                    runner.run(actor.start())
                yield from _compare(runner, actor, version, of_version, exchange, tolerance)
        if actor is not None:
            runner.run(actor.stop())


def _compare(
    runner: asyncio.Runner,
    actor: _Actor,
    version: int,
    rollouts: Sequence[Rollout],
    exchange: Exchange,
    tolerance: float,
) -> Iterator[Outcome]:
    drawn = runner.run(actor.draw(version, rollouts))
    for recorded, again in zip(rollouts, drawn, strict=True):
        yield Outcome(
            what=f"rollout {recorded.rollout_id} of policy version {version}",
            place=exchange.place,
            difference=first_difference(recorded, again, tolerance=tolerance, leaving=OF_ITS_OWN),
        )


class _Actor:
    """One engine, and which version it holds."""

    def __init__(self, recording: Recording, root: Path) -> None:
        config = recording.config
        set_engine_environment(os.environ, config.rollouts)
        from actors.vllm_engine import VllmEngine

        self._recording = recording
        self._root = root
        self._worker = RolloutWorker(
            "replay",
            VllmEngine(recording.policy_path, config.rollouts, seed=config.run.seed),
            config.response,
            config.rollouts,
            clock=time.time,
        )
        self.version = 0

    async def start(self) -> None:
        """Start the engine, which holds ρ."""
        await self._worker.start()

    async def draw(self, version: int, rollouts: Sequence[Rollout]) -> list[Rollout]:
        """Draw the same requests under a version no older than the one held."""
        if version > self.version:
            probe = rollouts[0].prompt.token_ids + rollouts[0].token_ids
            await self._worker.load_policy(self._published(version, probe))
            self.version = version
        return await self._worker.generate([_request(rollout) for rollout in rollouts])

    async def stop(self) -> None:
        """End the engine."""
        await self._worker.stop()

    def _published(self, version: int, probe: Sequence[int]) -> PolicyVersion:
        """Have the learner publish a version from its checkpoint, with what it says of a probe."""
        copy_checkpoint(self._recording, version, self._root)
        weights = self._root / "weights"
        with one_rank():
            learner = make_learner(self._recording, self._root, probe, _Kept(weights))
            policy = learner.resume(version)
            learner.close()
        assert policy is not None, "rank 0 answers"
        return policy


class _Kept(SharedMemoryPublisher):
    """A file of weights that outlives the learner that wrote it, until the replay's end."""

    def close(self) -> None:
        """Leave the files to the replay's own folder."""


def _request(rollout: Rollout) -> RolloutRequest:
    return RolloutRequest(
        rollout_id=rollout.rollout_id,
        prompt=rollout.prompt,
        purpose=rollout.purpose,
        sampling=rollout.sampling,
    )


def _why_not(recording: Recording, rollout: Rollout) -> str:
    """Return why a rollout cannot be drawn again; empty: it can."""
    version = rollout.oldest_version
    if rollout.sampling.seed is None:
        return "its request had no seed"
    if rollout.newest_version != version:
        return "its weights changed while it was drawn"
    if version > 0 and version not in recording.folder.restorable():
        return "no checkpoint of its policy version was kept"
    if version > 0 and recording.config.learner.num_ranks > 1:
        return "its checkpoint is spread over several ranks"
    return ""
