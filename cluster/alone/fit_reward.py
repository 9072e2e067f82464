"""A reward model from a ledger alone: the real trainer, one rank, in this process."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cluster.alone.fit_figures import FIGURES_FILE, figures_of
from cluster.alone.quiet import told_to
from cluster.config import RunConfig
from cluster.config_file import save_config
from cluster.run_folder import RunFolder, write_json
from cluster.starting.prompts import normalisation_sequences
from label_queue.fitting.from_ledger import LedgerFit, read_fit
from label_queue.folds.shown import is_shown_by
from label_queue.folds.view import LedgerView
from label_queue.ledger.sql import SqlLedger
from label_queue.ledger_place import LedgerPlace
from learners.engine import free_port, join_ranks, leave_ranks
from learners.reward_fit import RewardTrainer
from protocol.errors import ConfigError, InputError
from protocol.files import reading, writing
from protocol.labels import ComparisonQuery
from protocol.tokenizing import PolicyTokenizer
from reward_service.pretrained import load_tokenizer

HOST = "127.0.0.1"
LEAST_REFERENCE = 2
"""Sequences of which a variance can be told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FitOrder:
    """What to fit, on what, and where to."""

    ledger: LedgerPlace
    """ledger.sqlite or on a server, of a run that goes on or has ended."""
    config: RunConfig
    """Run config, of which reward_model, reward_fit, reward_trainer and labels.quality count."""
    policy: Path
    """ρ, a folder."""
    out: Path
    """A folder that holds no fit yet."""
    validation_share: float
    """Share of the queries that is held out to judge by, in [0, 1)."""
    until_seq: int | None
    """The last label event that counts; None: the newest."""


def fit_reward(order: FitOrder, clock: Callable[[], float] = time.monotonic) -> dict[str, object]:
    """Fit a reward model, judge it, write bundle, config and figures; return the figures.

    The bundle is reward version 1 of its folder. On one rank it is a pure function of the ledger
    up to a sequence number, the config and ρ, bit for bit.

    Raises:
        UserError: What was given cannot be fitted.
        NotFinite: NaN or infinity in a loss, gradient or score. No bundle is written.
    """
    with reading(order.out, "--out", "name another folder with --out"):
        is_taken = (order.out / FIGURES_FILE).exists() or any(order.out.glob("v[0-9]*"))
        is_run = RunFolder(order.out).state.exists()
    if is_taken or is_run:
        what = "a run" if is_run else "a fit"
        raise ConfigError(f"{order.out} already holds {what}; name another folder with --out")
    found = _read(order)
    reference, normalised_on = _reference(order, found)
    with writing(order.out, "name another folder with --out"):
        order.out.mkdir(parents=True, exist_ok=True)
        save_config(order.config, order.out / "config.toml")
    with told_to(order.out / "fit.log"):
        figures = _fitted(order, found, reference, normalised_on, clock)
    write_json(order.out / FIGURES_FILE, figures)
    return figures


def _fitted(
    order: FitOrder,
    found: LedgerFit,
    reference: Sequence[Sequence[int]],
    normalised_on: str,
    clock: Callable[[], float],
) -> dict[str, object]:
    """Fit and judge on the one rank there is."""
    join_ranks(0, 1, HOST, free_port(HOST))
    trainer = RewardTrainer(
        policy_path=order.policy,
        model=order.config.reward_model,
        fit=order.config.reward_fit,
        deepspeed=order.config.reward_trainer,
        root=order.out.absolute(),
        reference_sequences=reference,
        clock=clock,
    )
    try:
        version = trainer.fit(found.request)
        assert version is not None, "the only rank answers"
        return figures_of(
            found,
            version,
            ledger=order.ledger,
            training=trainer.judge(found.request.comparisons),
            held_out=trainer.judge(found.held_out) if found.held_out else None,
            normalised_on=normalised_on,
            validation_share=order.validation_share,
        )
    finally:
        trainer.close()
        leave_ranks()


def _read(order: FitOrder) -> LedgerFit:
    """Read the ledger, which another process may be writing to."""
    ledger = SqlLedger.open_to_read(order.ledger)
    try:
        view = LedgerView.of(ledger)
    finally:
        ledger.close()
    found = read_fit(
        view,
        order.config.labels.quality,
        until_seq=order.until_seq,
        validation_share=order.validation_share,
        num_reference=order.config.reward_model.num_normalisation_samples,
        seed=order.config.run.seed,
    )
    if order.config.reward_model.marks is not None:
        _check_marks(order, found, view.queries)
    return found


def _check_marks(order: FitOrder, found: LedgerFit, queries: Mapping[str, ComparisonQuery]) -> None:
    """Raise InputError where the policy's tokens are not what people saw when they marked words."""
    tokenizer = PolicyTokenizer(load_tokenizer(order.policy))
    for each in found.request.comparisons:
        for index in sorted({mark[0] for mark in each.marks}):
            candidate = queries[each.query_id].candidates[index]
            if not is_shown_by(candidate, tokenizer):
                raise InputError(
                    f"{order.ledger}: the label at seq {each.seq} marks words of "
                    f"{candidate.candidate_id}, whose tokens {order.policy} reads otherwise than "
                    "labelers saw them: name the policy that wrote it, or leave out "
                    "[reward_model.marks]"
                )


def _reference(order: FitOrder, found: LedgerFit) -> tuple[list[tuple[int, ...]], str]:
    """Return the sequences that normalise, and what they are."""
    given = normalisation_sequences(order.config, order.policy)
    if given is not None:
        return given, str(order.config.reward_model.normalisation_path)
    if len(found.reference_sequences) < LEAST_REFERENCE:
        raise InputError(
            f"{order.ledger}: no response that was judged is of the starting policy, so there "
            "is nothing to normalise scores on: set reward_model.normalisation_path to texts that "
            "shall score 0"
        )
    return list(found.reference_sequences), "responses in the ledger that no later policy wrote"


def at_one_rank(config: RunConfig) -> RunConfig:
    """Return a config whose reward trainer is one process, as it is here.

    On as many ranks as a run has, the same fit differs in its last digits.
    """
    trainer = config.reward_trainer.model_copy(update={"num_ranks": 1})
    return config.model_copy(update={"reward_trainer": trainer})
