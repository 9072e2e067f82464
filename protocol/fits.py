"""What the label queue asks of the reward trainer, and what it is answered.

A fit learns a training set, which is a pure function of the ledger up to a sequence number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Self

from protocol.labels import QueryPurpose
from protocol.seq_ranges import SeqRanges, as_ranges

FitKind = Literal["refit", "warm"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetRules:
    """Which labels a training set takes, besides those the ledger itself excludes."""

    excluded_labelers: tuple[str, ...] = ()
    """Labelers whose labels are all left out, sorted."""
    purposes: tuple[QueryPurpose, ...] = ("train", "validation", "overlap")


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A labelled query as the reward model trains on it."""

    seq: int
    """Sequence number of the label's latest revision."""
    query_id: str
    labeler_id: str
    purpose: QueryPurpose
    prompt_token_ids: tuple[int, ...]
    """[P], the prompt's tokens."""
    candidate_token_ids: tuple[tuple[int, ...], ...]
    """[K][T_k], kept tokens, in the query's own order."""
    policy_versions: tuple[int, ...]
    """[K], the policy version of each candidate; 0 is ρ."""
    outcome: Literal["choice", "ranking", "tie"]
    choice: int | None
    """Index of the best candidate, for a choice."""
    ranking: tuple[int, ...] | None
    """[K] indices, best first, for a ranking."""
    marks: tuple[tuple[int, int, int, str], ...] = ()
    """(index of the candidate, start, end, "good" | "bad") in characters of what was shown of it,
    in the order in which they were given; where two lie on each other, the later counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FitRequest:
    """An order to the reward trainer: learn these and publish a version."""

    kind: FitKind
    """"refit" starts from ρ with a fresh head; "warm" goes on from the live version."""
    ledger_seq: int
    """Sequence number that the training set is taken at: it is dataset(ledger_seq, rules)."""
    comparisons: tuple[Comparison, ...]
    """To be learned: for a refit all, by seq; for a warm update the new ones and those replayed."""
    labeler_weights: tuple[tuple[str, float], ...]
    """Reliability a_ℓ in (0, 1] by labeler, sorted by name."""
    exclusions_sha256: str
    """Digest of the exclusion rules in force."""
    labels_used: int
    """Distinct labels this version will have learned from, replays not counted twice."""
    contaminated_from: int | None = None
    """First policy version trained on a reward that had learned the labels now left out, for a
    refit forced by an exclusion; None where no policy was, or nothing was excluded."""
    is_forced: bool = False
    """Whether an exclusion or reinstatement made the fit due: both rewards are then compared."""
    is_sole: bool = False
    """Whether nothing that an older reward scored may be trained on once this one is served."""
    goes_on_from: int | None = None
    """Reward version that a warm update goes on from; None for a refit, and where it does not
    say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardVersion:
    """An announcement: this reward bundle exists. Written by the reward trainer alone."""

    version: int
    """Number of the version, from 1."""
    kind: FitKind
    path: str
    """The bundle's folder."""
    sha256: str
    """SHA-256 of the bundle's weights file, in hex."""
    ledger_seq: int
    exclusions_sha256: str
    labeler_weights: tuple[tuple[str, float], ...]
    labels_used: int
    fit_seconds: float
    metrics: dict[str, float] = field(default_factory=dict)
    """Metrics of the fit, e.g. {"reward_model/loss": 0.9, "reward_model/train_accuracy": 0.61}."""
    learned: SeqRanges | None = None
    """Sequence numbers of the labels in the fit's own list, e.g. ((1, 8), (11, 11)): of a refit all
    that it learned, of a warm update the new ones and those replayed; None in ledgers that do not
    say."""
    learned_scales: tuple[float, ...] = ()
    """[M], what each head's served score is multiplied by to be at the scale at which it learned,
    where a label's likelihood is its softmax; empty in ledgers that do not say."""
    announced_at: float | None = None
    """When the label queue took note of it, Unix seconds on its clock; None before that, and in
    ledgers that do not say."""

    @classmethod
    def answering(
        cls,
        request: FitRequest,
        *,
        version: int,
        fit_seconds: float,
        learned_scales: Sequence[float] = (),
        metrics: dict[str, float] | None = None,
    ) -> Self:
        """Return what a fit has made of an order, before its bundle is written anywhere."""
        return cls(
            version=version,
            kind=request.kind,
            path="",
            sha256="",
            ledger_seq=request.ledger_seq,
            exclusions_sha256=request.exclusions_sha256,
            labeler_weights=request.labeler_weights,
            labels_used=request.labels_used,
            fit_seconds=fit_seconds,
            metrics=metrics or {},
            learned_scales=tuple(learned_scales),
            learned=as_ranges(each.seq for each in request.comparisons),
        )
