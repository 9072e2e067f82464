"""The reward trainer alone: fits again what was recorded that it was asked."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from cluster.recordings.crossings import FIT
from cluster.recordings.exchanges import Exchange
from cluster.replay.difference import first_difference
from cluster.replay.learner import one_rank
from cluster.replay.outcome import Outcome, Window
from cluster.replay.recording import Recording, scratch
from cluster.starting.prompts import normalisation_sequences
from learners.reward_fit import RewardTrainer
from protocol.errors import InputError
from protocol.fits import RewardVersion

OF_ITS_OWN = ("path", "fit_seconds", "reward_model/fit_seconds", "reward_model/version")
"""Where a bundle lies and how long its fit took; `version` itself is compared."""
OF_ALL_BEFORE = (
    "reward_model/validation_accuracy",
    "reward_model/validation_accuracy_current_policy",
    "reward_model/validation_labels",
    "reward_model/validation_labels_current_policy",
    "reward_model/ece",
    "reward_model/correlation_with_previous",
)
"""Metrics that depend on the versions before; they are left out where those were not fitted."""


def replay_reward_trainer(
    recording: Recording, window: Window, tolerance: float
) -> Iterator[Outcome]:
    """Fit again, and compare each version's weights, by their digest, and its figures.

    Begins at the newest refit that is no newer than `window.first`, since a refit starts from ρ.
    On one rank, as one rank of the run did, it is the same bit for bit.

    Raises:
        MissingError: Nothing was recorded.
        InputError: There is no refit to begin at.
    """
    start = _start(recording, window)
    leaving = OF_ITS_OWN if start == 1 else (*OF_ITS_OWN, *OF_ALL_BEFORE)
    with scratch() as root, one_rank():
        trainer = _trainer(recording, root)
        try:
            for exchange in _fits(recording):
                version = exchange.answer.version
                if window.is_past(version):
                    return
                if version < start:
                    continue
                made = trainer.fit(exchange.ask)
                assert made is not None, "rank 0 answers"
                if window.holds(version):
                    yield _outcome(exchange, made, start, tolerance, leaving)
        finally:
            trainer.close()


def _trainer(recording: Recording, root: Path) -> RewardTrainer:
    config = recording.config
    chosen = normalisation_sequences(config, recording.policy_path)
    return RewardTrainer(
        policy_path=recording.policy_path,
        model=config.reward_model,
        fit=config.reward_fit,
        deepspeed=config.reward_trainer.model_copy(update={"num_ranks": 1}),
        root=root,
        reference_sequences=recording.reference_sequences() if chosen is None else chosen,
        clock=time.monotonic,
    )


def _fits(recording: Recording) -> Iterator[Exchange]:
    for exchange in recording.exchanges("labels"):
        if exchange.crossing is FIT and exchange.is_answered:
            yield exchange


def _start(recording: Recording, window: Window) -> int:
    """Return the version of the refit to begin at."""
    first, refits = None, []
    for exchange in _fits(recording):
        first = first or exchange.answer.version
        if exchange.ask.kind == "refit" and exchange.answer.version <= max(1, window.first):
            refits.append(exchange.answer.version)
    if first is None:
        raise InputError(f"{recording.folder.path} has no record of any fit")
    if not refits:
        raise InputError(
            f"the oldest fit on record made reward version {first}; there is no refit up to "
            f"version {max(1, window.first)} to begin at: name a later one with --from"
        )
    return int(refits[-1])


def _outcome(
    exchange: Exchange,
    made: RewardVersion,
    start: int,
    tolerance: float,
    leaving: tuple[str, ...],
) -> Outcome:
    # A trainer that begins in the middle counts from 1.
    made = replace(made, version=made.version + start - 1)
    return Outcome(
        what=f"reward version {exchange.answer.version}",
        place=exchange.place,
        difference=first_difference(exchange.answer, made, tolerance=tolerance, leaving=leaving),
    )
