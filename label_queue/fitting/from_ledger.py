"""A fit of the reward model from a ledger alone: what is trained on, and what is kept to judge it.

All of it is a pure function of the ledger up to a sequence number, the config and a seed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence, Set
from dataclasses import dataclass, replace

from label_queue.fitting.retraining import make_request
from label_queue.folds.dataset import exclusions, exclusions_sha256
from label_queue.folds.view import LedgerView
from label_queue.quality.peers import peer_agreement
from label_queue.quality.preference import TRAINING
from label_queue.quality.standings import standings
from label_queue.quality_config import QualityConfig
from protocol.errors import InputError
from protocol.fits import Comparison, DatasetRules, FitRequest
from protocol.labels import AnswerEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerFit:
    """What a ledger holds for one fit."""

    request: FitRequest
    """A refit, on the training set but what is held out; as the label queue would order it."""
    held_out: tuple[Comparison, ...]
    """The rest of the training set, by `seq`; no query is on both sides."""
    reference_sequences: tuple[tuple[int, ...], ...]
    """[N][T_n] prompt + response of candidates that ρ wrote, in the order they were answered."""
    agreement: float | None
    """Mean share of the others who answered a query alike; None where nobody shared one."""
    num_shared: int
    """Queries behind it, each counted once for everybody who answered it."""


def read_fit(
    view: LedgerView,
    quality: QualityConfig,
    *,
    until_seq: int | None,
    validation_share: float,
    num_reference: int,
    seed: int,
) -> LedgerFit:
    """Return what to fit and what to judge by.

    Args:
        view: The ledger.
        quality: How its labelers are judged.
        until_seq: The last label event that counts; None: the newest.
        validation_share: Of the queries, held out; drawn by query and seed, so that a query stays
            on its side as the ledger grows.
        num_reference: Candidates of ρ at most.
        seed: Of the draw.

    Raises:
        InputError: The ledger does not reach so far, or nothing of it can be trained on.
    """
    if until_seq is not None and until_seq > view.last_seq:
        raise InputError(
            f"the ledger ends at event {view.last_seq}, before {until_seq}: lower --until-seq"
        )
    until = view.last_seq if until_seq is None else until_seq
    view = replace(view, events=tuple(e for e in view.events if e.seq <= until))
    dataset = view.dataset(until, quality)
    if not dataset:
        raise InputError(
            f"up to event {until} the ledger holds no label that trains: collect some, or look at "
            "`andon labelers list` for who is held or excluded"
        )
    held_out = tuple(c for c in dataset if _is_held_out(c.query_id, validation_share, seed))
    kept = [c for c in dataset if not _is_held_out(c.query_id, validation_share, seed)]
    if not kept:
        raise InputError(
            f"all {len(dataset)} labels were held out: collect more, or lower --validation-share"
        )
    standing_of = standings(view.queries, view.events, quality)
    request = make_request(
        "refit",
        kept,
        seq=until,
        exclusions_sha256=exclusions_sha256(exclusions(view.events, DatasetRules())),
        replay=0.0,
        seed=seed,
        quality=quality,
        gold=standing_of.gold_answers(),
    )
    agreement, num_shared = _agreement(view, dataset)
    return LedgerFit(
        request=request,
        held_out=held_out,
        reference_sequences=_reference(view, num_reference, standing_of.judges()),
        agreement=agreement,
        num_shared=num_shared,
    )


def _is_held_out(query_id: str, share: float, seed: int) -> bool:
    digest = hashlib.blake2b(f"{seed}/held out/{query_id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") < share * 2**64


def _agreement(view: LedgerView, dataset: Sequence[Comparison]) -> tuple[float | None, int]:
    """Return how far those in the training set agree on the queries that they share."""
    seqs = {comparison.seq for comparison in dataset}
    labels = [e for e in view.events if isinstance(e, AnswerEvent) and e.seq in seqs]
    peers = peer_agreement(view.queries, labels).values()
    num_shared = sum(peer.num_queries for peer in peers)
    if not num_shared:
        return None, 0
    return sum(peer.share * peer.num_queries for peer in peers) / num_shared, num_shared


def _reference(view: LedgerView, most: int, judges: Set[str]) -> tuple[tuple[int, ...], ...]:
    """Return sequences of ρ: of the queries that were answered, the candidates of version 0.

    What judges alone answered is left out: none of theirs has a say in a fit.
    """
    answers = (e for e in view.events if isinstance(e, AnswerEvent))
    answered = {e.query_id: None for e in answers if e.labeler_id not in judges}
    queries = [view.queries[query_id] for query_id in answered]
    found = [
        query.prompt_token_ids + candidate.token_ids
        for query in queries
        if query.purpose in TRAINING
        for candidate in query.candidates
        if candidate.policy_version == 0
    ]
    return tuple(found[:most])
