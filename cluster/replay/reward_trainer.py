"""The reward trainer alone: fits again what was recorded that it was asked."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from cluster.config import RunConfig
from cluster.recordings.crossings import FIT
from cluster.recordings.exchanges import Exchange
from cluster.replay.difference import first_difference
from cluster.replay.learner import one_rank
from cluster.replay.outcome import Outcome, Window
from cluster.replay.recording import Recording, scratch
from cluster.starting.prompts import normalisation_sequences
from learners.reward_fit import RewardTrainer
from learners.reward_state import digest_of
from protocol.errors import InputError, NotFinite
from protocol.fits import RewardVersion
from reward_service.retention import bundle_path, is_withdrawn, withdraw_bundle

REFUSED = NotFinite("replicas of the run that is replayed refused it, or what it led to")
OF_ITS_OWN = ("path", "fit_seconds", "reward_model/fit_seconds")
"""Where a bundle lies and how long its fit took."""
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
    On one rank, as one rank of the run did, it is the same bit for bit. Versions that replicas
    refused are fitted again, too, and left behind again; all have the numbers they had.

    Raises:
        MissingError: Nothing was recorded.
        InputError: There is no refit to begin at.
    """
    refused = _refused(recording)
    start = _start(recording, window, refused)
    leaving = OF_ITS_OWN if start == 1 else (*OF_ITS_OWN, *OF_ALL_BEFORE)
    with scratch() as root, one_rank(), _fresh(recording, root, refused) as trainer:
        for exchange in _fits(recording):
            version = exchange.answer.version
            if window.is_past(version):
                return
            if version >= start:
                trainer.go_on_under(recording.config_at(exchange.at))
                made = trainer.fit(exchange)
                if window.holds(version):
                    yield _outcome(exchange, made, tolerance, leaving)


class _FreshTrainer:
    """A trainer that leaves behind what replicas refused, as the run's own did, and when it did.

    Args:
        recording: The run.
        root: Where it writes its versions.
        refused: Versions of the run.
    """

    def __init__(self, recording: Recording, root: Path, refused: Collection[int]) -> None:
        self._recording = recording
        self._root = root
        self._refused = refused
        self._config: RunConfig | None = None
        """By which it fits; None: it was not made yet."""
        self._trainer: RewardTrainer | None = None
        self._made: list[RewardVersion] = []
        """What it goes on from; the last is live."""

    def go_on_under(self, config: RunConfig) -> None:
        """Fit by a config from now on, as the trainer of a run that was resumed with it."""
        if config != self._config:
            self.close()
            self._config, newest = config, self._made[-1].path if self._made else None
            self._trainer = _trainer(
                self._recording,
                config,
                self._root,
                keeps_state=bool(self._refused or self._recording.earlier),
                resume_from=None if newest is None else Path(newest),
            )

    def close(self) -> None:
        """Free the engines. May be called twice."""
        if self._trainer is not None:
            self._trainer.close()

    def fit(self, exchange: Exchange) -> RewardVersion | None:
        """Fit again what was asked; None: the version that it goes on from was not fitted."""
        number, base = exchange.answer.version, exchange.ask.goes_on_from
        if self._made and self._made[-1].version == number:
            return self._made[-1]
        self._leave_refused(base or 0)
        if base not in (None, self._made[-1].version if self._made else 0):
            return None
        assert self._trainer is not None, "go_on_under() first"
        self._trainer.number_from(number)
        made = self._trainer.fit(exchange.ask)
        assert made is not None, "rank 0 answers"
        self._made.append(made)
        return made

    def _leave_refused(self, after: int) -> None:
        """Leave behind what was refused, but for a refit that is just updated."""
        for each in self._made:
            if each.version in self._refused and each.version > after:
                withdraw_bundle(Path(each.path), REFUSED)
        self._made = [each for each in self._made if not is_withdrawn(Path(each.path))]


@contextmanager
def _fresh(recording: Recording, root: Path, refused: Collection[int]) -> Iterator[_FreshTrainer]:
    trainer = _FreshTrainer(recording, root, refused)
    try:
        yield trainer
    finally:
        trainer.close()


def _refused(recording: Recording) -> frozenset[int]:
    """Return the versions that replicas would not take, and those that led to one.

    Their bundles say so; of such as are kept no more it shows in what was fitted next: an update of
    an older version, or the same again.
    """
    refused: set[int] = set()
    made: list[tuple[int, str]] = []
    for exchange in _fits(recording):
        number, ask, digest = exchange.answer.version, exchange.ask, digest_of(exchange.ask)
        if made and number == made[-1][0]:
            continue  # it was asked twice
        left = next((before for before, its in made if its == digest), number)
        if ask.goes_on_from is not None:
            left = min(left, ask.goes_on_from + 1)
        refused |= {before for before, _ in made if before >= left}
        made = [each for each in made if each[0] < left]
        if is_withdrawn(bundle_path(recording.folder.rewards, number)):
            refused.add(number)
        else:
            made.append((number, digest))
    return frozenset(refused)


def _trainer(
    recording: Recording,
    config: RunConfig,
    root: Path,
    *,
    keeps_state: bool,
    resume_from: Path | None,
) -> RewardTrainer:
    chosen = normalisation_sequences(config, recording.policy_path)
    return RewardTrainer(
        policy_path=recording.policy_path,
        model=config.reward_model,
        fit=config.reward_fit,
        deepspeed=config.reward_trainer.model_copy(update={"num_ranks": 1}),
        root=root,
        reference_sequences=recording.reference_sequences() if chosen is None else chosen,
        clock=time.monotonic,
        keeps_state=keeps_state,
        resume_from=resume_from,
    )


def _fits(recording: Recording) -> Iterator[Exchange]:
    for exchange in recording.exchanges("labels"):
        if exchange.crossing is FIT and exchange.is_answered:
            yield exchange


def _start(recording: Recording, window: Window, refused: Collection[int]) -> int:
    """Return the version of the refit to begin at: one that was gone on from, if there is one."""
    first, refits = None, []
    for exchange in _fits(recording):
        first = first or exchange.answer.version
        if exchange.ask.kind == "refit" and exchange.answer.version <= max(1, window.first):
            refits.append(exchange.answer.version)
    refits = [each for each in refits if each not in refused] or refits[:1]
    if first is None:
        raise InputError(f"{recording.folder.path} has no record of any fit")
    if not refits:
        raise InputError(
            f"the oldest fit on record made reward version {first}; there is no refit up to "
            f"version {max(1, window.first)} to begin at: name a later one with --from"
        )
    return int(refits[-1])


def _outcome(
    exchange: Exchange, made: RewardVersion | None, tolerance: float, leaving: tuple[str, ...]
) -> Outcome:
    what = f"reward version {exchange.answer.version}"
    if made is None:
        why = "the version that it goes on from is not on record"
        return Outcome(what=what, place=exchange.place, skipped=why)
    difference = first_difference(exchange.answer, made, tolerance=tolerance, leaving=leaving)
    return Outcome(what=what, place=exchange.place, difference=difference)
