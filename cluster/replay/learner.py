"""The learner alone: trains again on the batches that were recorded."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch

from cluster.config import RunConfig
from cluster.recordings.crossings import RESTORE, STEP, as_reported, without_place
from cluster.recordings.exchanges import Exchange
from cluster.recordings.streams import POLICIES, read
from cluster.replay.difference import first_difference
from cluster.replay.outcome import Outcome, Window
from cluster.replay.recording import Recording, scratch
from learners.engine import free_port, join_ranks, leave_ranks
from learners.ppo import PPOLearner
from learners.pretraining import PretrainingBlocks
from learners.weights import ObjectStorePublisher
from protocol.errors import AndonError, InputError, MissingError
from protocol.messages import PolicyVersion, StepReport
from protocol.ports import WeightPublisher

HOST = "127.0.0.1"
_ASIDE = "aside"
"""Folder, in a replay's own, of checkpoints that a resume goes on from."""


def replay_learner(recording: Recording, window: Window, tolerance: float) -> Iterator[Outcome]:
    """Train again, and compare each version's weights, by their digest, and its step's figures.

    Begins at the newest checkpoint that is no newer than `window.first`, or at ρ, and compares the
    versions after `window.first`. On one rank, as one rank of the run did, it is the same bit for
    bit; with more ranks in the run it is the same within a tolerance, and the digests differ.

    Raises:
        MissingError: Nothing was recorded.
        InputError: What is needed to come to `window.first` was dropped.
    """
    with scratch() as root, one_rank():
        learner: _Learner | None = None
        start, origins = first_start(recording, window), origins_of(recording)
        try:
            for exchange in recording.exchanges("batches"):
                made = _version_made(exchange)
                if window.is_past(made):
                    return
                if made <= start or not (exchange.is_answered or exchange.error):
                    continue
                config = recording.config_at(exchange.at)
                if learner is None or learner.version != made - 1:
                    origin = origins.get(made - 1, made - 1)
                    _check_start(recording, origin, start, is_first=learner is None)
                    learner = _again(learner, recording, config, origin, root, publish_as=made - 1)
                elif learner.config != config:  # the run was resumed here, with another
                    learner.set_aside()
                    learner = _again(
                        learner, recording, config, made - 1, root, publish_as=made - 1
                    )
                answer = learner.answer(exchange)
                if learner.version in origins.values():
                    learner.set_aside()
                if made > window.first:
                    yield _outcome(exchange, made, answer, tolerance)
        finally:
            if learner is not None:
                learner.close()


@contextmanager
def one_rank() -> Iterator[None]:
    """Make this process the one rank of a learner."""
    os.environ.setdefault("DS_ACCELERATOR", "cuda" if torch.cuda.is_available() else "cpu")
    join_ranks(0, 1, HOST, free_port(HOST))
    try:
        yield
    finally:
        leave_ranks()


def first_start(recording: Recording, window: Window) -> int:
    """Return the policy version to begin at."""
    kept = [v for v in recording.folder.restorable() if v <= window.first]
    return max(kept, default=0)


def origins_of(recording: Recording) -> dict[int, int]:
    """Return, of each version that has another one's weights, that other one.

    A rollback makes such a version, and so does a resume where later versions had been announced.
    """
    policies = read(recording.folder.recordings, POLICIES)
    return {each.version: each.restored_from for each in policies if each.restored_from is not None}


def make_learner(
    recording: Recording,
    root: Path,
    probe: Sequence[int],
    publisher: WeightPublisher,
    config: RunConfig | None = None,
) -> PPOLearner:
    """Return the run's learner as it was at ρ, on one rank.

    Args:
        recording: The run.
        root: Where it keeps its checkpoints.
        probe: What it announces its versions with, token ids.
        publisher: Takes its weights.
        config: Of the run, by which it trains; None: the last that it had.

    Raises:
        MissingError: The run's pretraining text is gone.
    """
    config = recording.config if config is None else config
    return PPOLearner(
        policy=config.policy_at(recording.policy_path),
        ppo=config.ppo,
        kl=config.kl,
        learner=config.learner.model_copy(update={"num_ranks": 1}),
        checkpoint_root=root,
        total_episodes=config.run.episodes,
        probe_token_ids=probe,
        publisher=publisher,
        seed=config.run.seed,
        adapters_travel=config.rollouts.adapters_travel,
        actors_dtype=config.rollouts.dtype,
        pretraining=(
            None
            if config.pretraining is None
            else PretrainingBlocks.read(recording.folder.pretraining)
        ),
    )


def copy_checkpoint(recording: Recording, version: int, root: Path) -> None:
    """Bring one of the run's checkpoints to a replay's own folder, unless it is there.

    Raises:
        MissingError: The run did not keep it.
    """
    name = f"v{version:06d}"
    if (root / name).exists():
        return
    for kept in (root / _ASIDE / name, recording.folder.policies / name):
        if kept.exists():
            shutil.copytree(kept, root / name)
            return
    raise MissingError(
        f"policy version {version} was not kept: {recording.folder.policies} has "
        f"{', '.join(map(str, recording.folder.restorable())) or 'none'}"
    )


class _Learner:
    """The learner, and which version it holds.

    Args:
        recording: The run.
        config: Of the run, by which it trains.
        origin: The version whose checkpoint it goes on from; 0: ρ.
        root: Where it keeps its own.
        publish_as: The number it goes on with.
    """

    def __init__(
        self, recording: Recording, config: RunConfig, origin: int, root: Path, publish_as: int
    ) -> None:
        self._recording = recording
        self.config = config
        self._root = root
        self.version = publish_as
        # The bytes are not kept: their digest is all that is compared.
        publisher = ObjectStorePublisher(lambda content: None)
        self._learner = make_learner(recording, root, _probe(recording), publisher, config)
        if publish_as > 0:
            copy_checkpoint(recording, origin, root)
            self._learner.resume(origin, publish_as)
            if origin == publish_as:
                # It stands where it did before it wrote this one, and will write it again.
                shutil.rmtree(root / f"v{origin:06d}")

    def answer(self, exchange: Exchange) -> StepReport | PolicyVersion | str:
        """Do what was asked; return the answer as it would be recorded, or the error."""
        answer: StepReport | PolicyVersion | None
        try:
            if exchange.crossing is RESTORE:
                copy_checkpoint(self._recording, exchange.ask, self._root)
                answer = self._learner.restore(exchange.ask)
            else:
                answer = self._learner.step(exchange.ask)
        except AndonError as error:
            return f"{type(error).__name__}: {error}"
        assert answer is not None, "rank 0 answers"
        self.version += 1
        return as_reported(answer) if isinstance(answer, StepReport) else without_place(answer)

    def set_aside(self) -> None:
        """Keep the present version for a resume that comes later on the record.

        The run may have dropped its checkpoint since, and may have written it out of turn.
        """
        name = f"v{self.version:06d}"
        if not (self._root / _ASIDE / name).exists():
            is_there = (self._root / name).exists()
            self._learner.keep()
            shutil.copytree(self._root / name, self._root / _ASIDE / name)
            if not is_there:
                shutil.rmtree(self._root / name)

    def close(self) -> None:
        """Free the engine."""
        self._learner.close()


def _again(
    before: _Learner | None,
    recording: Recording,
    config: RunConfig,
    origin: int,
    root: Path,
    publish_as: int,
) -> _Learner:
    """Start at a version anew, as a run does that was resumed from a checkpoint."""
    if before is not None:
        before.close()
    return _Learner(recording, config, origin, root, publish_as)


def _version_made(exchange: Exchange) -> int:
    if exchange.crossing is STEP:
        return int(exchange.ask.step) + 1
    return exchange.answer.version if exchange.is_answered else 0


def _probe(recording: Recording) -> tuple[int, ...]:
    """Return the sequence by which the run's versions were proved."""
    for exchange in recording.exchanges("batches"):
        if exchange.is_answered:
            policy = exchange.answer.policy if exchange.crossing is STEP else exchange.answer
            return tuple(policy.probe.token_ids)
    for exchange in recording.exchanges("batches"):
        if exchange.crossing is STEP:  # no step was ever finished: any sequence does
            return tuple(exchange.ask.rollouts[0].rollout.prompt.token_ids)
    raise MissingError(f"{recording.folder.path} has no record of any step")


def _check_start(recording: Recording, wanted: int, start: int, *, is_first: bool) -> None:
    """Refuse to start where nothing was kept to start from."""
    kept = recording.folder.restorable()
    if is_first and wanted > start and wanted not in kept:
        later = [version for version in kept if version >= wanted]
        raise InputError(
            f"the batches of steps {start} … {wanted - 1} were dropped (recording.max_gib): name a "
            f"checkpoint after them with --from: {', '.join(map(str, later)) or 'there is none'}"
        )
    if wanted > 0 and recording.config.learner.num_ranks > 1:
        raise InputError(
            f"the checkpoint of policy version {wanted} is spread over "
            f"{recording.config.learner.num_ranks} ranks and a replay has one: leave --from out"
        )


def _outcome(
    exchange: Exchange, version: int, answer: StepReport | PolicyVersion | str, tolerance: float
) -> Outcome:
    recorded = exchange.answer if exchange.is_answered else exchange.error
    return Outcome(
        what=f"policy version {version}",
        place=exchange.place,
        difference=first_difference(recorded, answer, tolerance=tolerance),
    )
