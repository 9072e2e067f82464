"""Gold in the owner's hands: made, edited, retired and brought back, each as an event.

                make, write
        ─────────────────────▶ asked ── retire, or edit: a new version takes its place ──▶ retired
                                 ▲                                                          │
                                 └──────────────────────── bring back ─────────────────────┘

What a gold query asks never changes: an edit makes another query and retires the one before, in one
transaction. From the event that retires it on, it is mixed in for nobody, and an answer to it that
comes later, also to a task that is out already, judges nobody. What was answered before goes on
counting as it stood: nobody's standing moves because gold was retired.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

from label_queue.config import LabelsConfig
from label_queue.folds.board import ON_TOP
from label_queue.folds.gold_book import Gold
from label_queue.ledger.group_commit import GroupCommit
from label_queue.ledger.records import Record
from label_queue.oversight.gold_rows import (
    AgreementPage,
    GoldPage,
    GoldRow,
    agreement_page,
    gold_page,
    gold_row,
)
from label_queue.quality.gold_tasks import (
    AskMoment,
    GoldTask,
    past_template,
    problem_beside,
    problem_of,
    task_of,
    written_template,
)
from label_queue.state import LabelState
from protocol.distinct import is_comparison
from protocol.errors import InvalidLabel, LabelConflict, UnknownTask
from protocol.labels import ComparisonQuery, GoldMade, GoldRetired, Source
from protocol.messages import ChatMessage

E = TypeVar("E", GoldMade, GoldRetired)

MADE = "made"
"""The reason of gold that is made, which needs none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldEdit:
    """What is to be different in the next version of a gold query."""

    answer: int
    """Index of the right candidate."""
    prompt: str | tuple[ChatMessage, ...] | None = None
    """None: as it is."""
    candidates: tuple[str, ...] | None = None
    """None: as they are."""


class GoldKeeping:
    """The owner's decisions about gold. One at a time: what is decided on is what is decided."""

    def __init__(
        self,
        state: LabelState,
        commits: GroupCommit,
        config: LabelsConfig,
        *,
        run_id: str,
        clock: Callable[[], float],
        new_id: Callable[[], str],
    ) -> None:
        self._state = state
        self._commits = commits
        self._config = config
        self._run_id = run_id
        self._clock = clock
        self._new_id = new_id
        self._deciding = asyncio.Lock()

    def page(self, *, offset: int, limit: int, is_asked: bool | None = None) -> GoldPage:
        """Return a stretch of the gold; see `gold_page`."""
        return gold_page(
            self._state,
            offset=offset,
            limit=limit,
            num_candidates=self._config.num_candidates,
            is_asked=is_asked,
        )

    def agreements(self, *, offset: int, limit: int) -> AgreementPage:
        """Return a stretch of what gold could be made of; see `agreement_page`."""
        return agreement_page(self._state, offset=offset, limit=limit)

    async def make(self, query_id: str, choice: str, actor: str) -> GoldRow:
        """Ask a past query as gold from now on, `choice` being right.

        Nobody who answered it is asked. Idempotent by query and choice. Raises UnknownTask, and
        InvalidLabel for what only judges labelers, or a candidate that is not the query's.
        """
        query = self._past_query(query_id, choice)
        async with self._deciding:
            return await self._ask(past_template(query, choice, self._moment()), actor)

    async def write(self, task: GoldTask, actor: str) -> GoldRow:
        """Ask what the owner wrote from now on. Idempotent by what it says.

        Raises InvalidLabel for what no query of this run could be.
        """
        self._refuse_unfit(task, self._config.num_candidates)
        _refuse(problem_beside(task, self._state.board.open_queries(self._clock())))
        async with self._deciding:
            return await self._ask(self._written(task), actor)

    async def edit(self, gold_id: str, edit: GoldEdit, reason: str, actor: str) -> GoldRow:
        """Ask another version of a gold query from now on in its place; return the new one.

        Idempotent by what it then says. Raises UnknownTask, LabelConflict for gold that is retired
        or would say what other gold says, and InvalidLabel for what no query of this run could be.
        """
        async with self._deciding:
            old = self._known(gold_id)
            template = self._edited(old.template, edit)
            new = self._state.gold.get(template.query_id)
            is_done = old.replaced_by == template.query_id and not old.is_asked
            if new is not None and (new is old or is_done):
                return gold_row(new)
            if not old.is_asked:
                raise LabelConflict("this gold is retired: bring it back before you edit it")
            if new is not None and new.is_asked:
                # Taken for the version in its place, it would be retired where the edit is undone.
                raise LabelConflict("other gold asks this already: retire this one instead")
            await self._commits.write(
                [
                    template,
                    self._made(template.query_id, reason, actor, replaces=gold_id),
                    self._retired(gold_id, reason, actor),
                ]
            )
            return gold_row(self._known(template.query_id))

    async def retire(self, gold_id: str, reason: str, actor: str) -> GoldRow:
        """Ask a gold query of nobody from now on. Idempotent. Raises UnknownTask."""
        async with self._deciding:
            if self._known(gold_id).is_asked:
                await self._commits.write([self._retired(gold_id, reason, actor)])
            return gold_row(self._known(gold_id))

    async def bring_back(self, gold_id: str, reason: str, actor: str) -> GoldRow:
        """Ask retired gold again from now on; the version that took its place is retired for it.

        So it undoes an edit as well. Idempotent. Raises UnknownTask.
        """
        async with self._deciding:
            gold = self._known(gold_id)
            if not gold.is_asked:
                await self._commits.write(self._returned(gold, reason, actor))
            return gold_row(self._known(gold_id))

    async def _ask(self, template: ComparisonQuery, actor: str) -> GoldRow:
        known = self._state.gold.get(template.query_id)
        if known is None or not known.is_asked:
            made = self._made(template.query_id, MADE, actor)
            await self._commits.write([template, made])
        return gold_row(self._known(template.query_id))

    def _returned(self, gold: Gold, reason: str, actor: str) -> list[Record]:
        """Return the events that bring gold back, in the place of what took its own."""
        name = gold.template.query_id
        successor = None if gold.replaced_by is None else self._state.gold.get(gold.replaced_by)
        if successor is None or not successor.is_asked:
            return [self._made(name, reason, actor)]
        taken_by = successor.template.query_id
        return [
            self._made(name, reason, actor, replaces=taken_by),
            self._retired(taken_by, reason, actor),
        ]

    def _edited(self, old: ComparisonQuery, edit: GoldEdit) -> ComparisonQuery:
        """Return the template of another version, which keeps what is the same."""
        before = task_of(old)
        task = GoldTask.model_construct(
            prompt=before.prompt if edit.prompt is None else edit.prompt,
            candidates=before.candidates if edit.candidates is None else edit.candidates,
            answer=edit.answer,
            language=before.language,
            node=before.node,
        )
        if len(task.candidates) != len(before.candidates):
            raise InvalidLabel(
                f"candidates: want {len(before.candidates)}, as before", "candidates"
            )
        self._refuse_unfit(task, len(before.candidates))
        past = self._state.board.queries.get(old.repeat_of or "")
        says_the_same = (task.prompt, task.candidates) == (before.prompt, before.candidates)
        if says_the_same and past is not None:
            choice = past.candidates[task.answer].candidate_id
            return past_template(past, choice, self._moment())
        return self._written(task, old.repeat_of)

    def _written(self, task: GoldTask, past_query_id: str | None = None) -> ComparisonQuery:
        return written_template(task, self._config, self._run_id, self._moment(), past_query_id)

    @staticmethod
    def _refuse_unfit(task: GoldTask, num_candidates: int) -> None:
        _refuse(problem_of(task, num_candidates))

    def _past_query(self, query_id: str, choice: str) -> ComparisonQuery:
        query = self._state.board.queries.get(query_id)
        if query is None:
            raise UnknownTask(
                f"no query {query_id!r} in this run: see the disagreements", "query_id"
            )
        if query.purpose in ON_TOP:
            raise InvalidLabel(f"query {query_id!r} is a {query.purpose} task already", "query_id")
        if choice not in [candidate.candidate_id for candidate in query.candidates]:
            raise InvalidLabel(f"{choice!r} is not a candidate of query {query_id!r}", "choice")
        if not is_comparison(query.candidates):
            raise InvalidLabel(
                f"query {query_id!r} shows two responses that are alike: neither is right",
                "query_id",
            )
        return query

    def _known(self, gold_id: str) -> Gold:
        gold = self._state.gold.get(gold_id)
        if gold is None:
            raise UnknownTask(f"no gold {gold_id!r} in this run: see the list", "gold_id")
        return gold

    def _moment(self) -> AskMoment:
        return AskMoment(now=self._clock(), labels=self._state.history.num_submitted)

    def _made(self, gold_id: str, reason: str, actor: str, replaces: str | None = None) -> GoldMade:
        return replace(self._event(GoldMade, gold_id, reason, actor), replaces=replaces)

    def _retired(self, gold_id: str, reason: str, actor: str) -> GoldRetired:
        return self._event(GoldRetired, gold_id, reason, actor)

    def _event(self, kind: type[E], gold_id: str, reason: str, actor: str) -> E:
        return kind(
            seq=0,
            event_id=self._new_id(),
            query_id=gold_id,
            received_at=self._clock(),
            source=Source(system="owner"),
            reason=reason,
            actor=actor,
        )


def _refuse(problem: tuple[str, str] | None) -> None:
    """Raise InvalidLabel where there is a problem with a field."""
    if problem is not None:
        field, what = problem
        raise InvalidLabel(f"{field}: {what}", field)
