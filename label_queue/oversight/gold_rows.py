"""The gold of a run as the owner sees it, and the past queries that it could be made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from label_queue.folds.gold_book import Gold
from label_queue.folds.shown import ShownCandidate, ShownPrompt, shown_candidates, shown_prompt
from label_queue.oversight.overview import Vote
from label_queue.quality.gold_tasks import BY_OWNER
from label_queue.quality.preference import best_id
from label_queue.state import LabelState
from protocol.labels import AnswerEvent, ComparisonQuery

Origin = Literal["file", "past", "written"]
"""Where gold is from: the configured file, a past query, or an owner who wrote it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldRow:
    """One gold query."""

    gold_id: str
    prompt: ShownPrompt
    candidates: tuple[ShownCandidate, ...]
    answer: str
    """The right candidate_id."""
    is_asked: bool
    """Whether it is mixed in and judges; retired, it does neither."""
    origin: Origin
    made_at: float
    """When it was first made, Unix seconds."""
    made_by: str | None
    """Which owner made it; None: it is of a file, or of a ledger that does not say."""
    decided_at: float | None
    """When it was last made, retired or brought back, Unix seconds; None: never since."""
    decided_by: str | None
    why: str | None
    """The reason of that decision."""
    replaces: str | None
    """The `gold_id` of the version whose place it took."""
    replaced_by: str | None
    """The `gold_id` of the version that took its place."""
    num_shown: int
    """How often it was asked."""
    right: int
    """How many answers that judge were right."""
    wrong: int
    """How many answers that judge were wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldPage:
    """A stretch of the gold, newest first."""

    gold: tuple[GoldRow, ...]
    offset: int
    """How many come before them."""
    total: int
    """How many there are in all, of those wanted."""
    num_asked: int
    """How many gold queries are asked now: with none, nobody who is on probation is cleared."""
    num_candidates: int
    """How many candidates gold must have, as the run's queries have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """A past query of which several people put the same response first."""

    query_id: str
    prompt: ShownPrompt
    candidates: tuple[ShownCandidate, ...]
    choice: str
    """The candidate_id that all put first."""
    votes: tuple[Vote, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AgreementPage:
    """A stretch of the queries on which people agree: those of the most people first."""

    queries: tuple[Agreement, ...]
    offset: int
    """How many come before them."""
    total: int
    """How many there are in all."""


def gold_page(
    state: LabelState,
    *,
    offset: int,
    limit: int,
    num_candidates: int,
    is_asked: bool | None = None,
) -> GoldPage:
    """Return a stretch of the gold that is asked, or retired, or (None) of all."""
    found = [g for g in state.gold.newest_first() if is_asked in (None, g.is_asked)]
    return GoldPage(
        gold=tuple(gold_row(each) for each in found[offset : offset + limit]),
        offset=offset,
        total=len(found),
        num_asked=state.gold.num_asked,
        num_candidates=num_candidates,
    )


def gold_row(gold: Gold) -> GoldRow:
    """Return a gold query as it is shown."""
    template, decided = gold.template, gold.decided
    assert template.gold_answer is not None, "gold has a right answer"
    return GoldRow(
        gold_id=template.query_id,
        prompt=shown_prompt(template),
        candidates=shown_candidates(template),
        answer=template.gold_answer,
        is_asked=gold.is_asked,
        origin=_origin(template),
        made_at=template.created_at,
        made_by=gold.made_by,
        decided_at=None if decided is None else decided.received_at,
        decided_by=None if decided is None else decided.actor,
        why=None if decided is None else decided.reason,
        replaces=gold.replaces,
        replaced_by=gold.replaced_by,
        num_shown=gold.num_shown,
        right=gold.right,
        wrong=gold.wrong,
    )


def agreement_page(state: LabelState, *, offset: int, limit: int) -> AgreementPage:
    """Return a stretch of the queries on which people agree and that are not asked as gold.

    All of them must be people whose answers train: what is gold decides who else does.
    """
    standings = state.history.standings

    def is_offered(query_id: str) -> bool:
        # Of each query that people agree on: old ones would be read from the ledger one by one.
        given = (each for each in state.tallies.labels_on(query_id) if best_id(each) is not None)
        return not state.gold.is_asked_of(query_id) and all(
            standings[each.labeler_id].trains(each.seq) for each in given
        )

    answers, total = state.tallies.agreed(offset, limit, is_offered)
    queries = state.board.queries
    return AgreementPage(
        queries=tuple(_agreement(queries[given[0].query_id], given) for given in answers),
        offset=offset,
        total=total,
    )


def _agreement(query: ComparisonQuery, given: list[AnswerEvent]) -> Agreement:
    choice = best_id(given[0])
    assert choice is not None, "they agree on a response"
    return Agreement(
        query_id=query.query_id,
        prompt=shown_prompt(query),
        candidates=shown_candidates(query),
        choice=choice,
        votes=tuple(Vote(labeler_id=each.labeler_id, choice=choice) for each in given),
    )


def _origin(template: ComparisonQuery) -> Origin:
    if template.repeat_of is not None:
        return "past"
    return "written" if template.selector == BY_OWNER else "file"
