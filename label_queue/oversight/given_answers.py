"""What one labeler answered, newest first, beside what others said; and who agrees with whom."""

from __future__ import annotations

from array import array
from dataclasses import dataclass

from label_queue.folds.event_log import Picked
from label_queue.folds.shown import ShownCandidate, ShownPrompt, shown_candidates, shown_prompt
from label_queue.oversight.overview import Vote
from label_queue.quality.gold import is_right
from label_queue.quality.peers import PeerAgreement
from label_queue.quality.preference import best_id
from label_queue.state import LabelState
from protocol.labels import AnswerEvent, Outcome, QueryPurpose, Submitted


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenAnswer:
    """One label of somebody's, as it stands."""

    label_id: str
    seq: int
    """Sequence number of what was last made of it, as `exclude --from` counts."""
    purpose: QueryPurpose
    prompt: ShownPrompt
    candidates: tuple[ShownCandidate, ...]
    outcome: Outcome | None
    """None: it was taken back."""
    choice: str | None
    """The candidate_id put first; None where none was."""
    given_at: float
    """When the first revision was received, Unix seconds."""
    is_right: bool | None
    """Whether it names the right candidate of gold; None where it names none, and of all else."""
    changed_after: int | None
    """The newest reward version that was fitted to what this labeler had said before; None: it was
    not changed since any."""
    others: tuple[Vote, ...]
    """What others answered to the same query."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerPage:
    """A stretch of somebody's answers, newest first."""

    labeler_id: str
    answers: tuple[GivenAnswer, ...]
    offset: int
    """How many come before them."""
    total: int
    """How many there are in all, of those wanted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgreementRow:
    """How far one labeler agrees with each other one."""

    labeler_id: str
    with_others: tuple[PeerAgreement | None, ...]
    """Agreement by the matrix's names; None: they share no query."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgreementMatrix:
    """A stretch of the rows of the matrix of agreement, by name."""

    names: tuple[str, ...]
    """All who share a query with somebody, by name: the columns."""
    rows: tuple[AgreementRow, ...]
    offset: int
    """How many rows come before them."""
    total: int
    """How many rows there are in all."""


def answer_page(
    state: LabelState, labeler_id: str, *, offset: int, limit: int, only_disputed: bool
) -> AnswerPage:
    """Return a stretch of somebody's answers: all, or those to queries on which people differ."""
    given: Picked[Submitted] = state.history.submits_of(labeler_id)
    if only_disputed:
        given = Picked(state.history.events, array("i", state.tallies.disputed_by(labeler_id)))
    end = max(0, len(given) - offset)
    shown = given[max(0, end - limit) : end]
    return AnswerPage(
        labeler_id=labeler_id,
        answers=tuple(_given(state, submit) for submit in reversed(shown)),
        offset=offset,
        total=len(given),
    )


def agreement_matrix(state: LabelState, *, offset: int, limit: int) -> AgreementMatrix:
    """Return a stretch of the rows of the matrix of agreement."""
    pairs = state.tallies.pairs
    names = pairs.names()
    return AgreementMatrix(
        names=tuple(names),
        rows=tuple(
            AgreementRow(
                labeler_id=name,
                with_others=tuple(pairs.between(name, other) for other in names),
            )
            for name in names[offset : offset + limit]
        ),
        offset=offset,
        total=len(names),
    )


def _given(state: LabelState, submit: Submitted) -> GivenAnswer:
    query = state.board.queries[submit.query_id]
    latest = state.history.latest_of(submit.seq)
    label = latest if isinstance(latest, AnswerEvent) else None
    return GivenAnswer(
        label_id=submit.label_id,
        seq=latest.seq,
        purpose=query.purpose,
        prompt=shown_prompt(query),
        candidates=shown_candidates(query),
        outcome=None if label is None else label.outcome,
        choice=None if label is None else best_id(label),
        given_at=submit.received_at,
        is_right=None if label is None or query.purpose != "gold" else is_right(query, label),
        changed_after=_fitted_between(state, submit.seq, latest.seq),
        others=tuple(
            Vote(labeler_id=each.labeler_id, choice=best_id(each))
            for each in state.tallies.labels_by(query.query_id)
            if each.labeler_id != submit.labeler_id
        ),
    )


def _fitted_between(state: LabelState, first: int, latest: int) -> int | None:
    """Return the newest reward version whose labels were taken between two events of a label.

    Of an answer that was never changed no version is looked at; they rise with their labels.
    """
    if first == latest:
        return None
    newest_first = reversed(state.rewards.values())
    before = next((each for each in newest_first if each.ledger_seq < latest), None)
    return before.version if before is not None and before.ledger_seq >= first else None
