"""Gold in memory, for a fake owner's side: rows that are made, edited, retired and brought back."""

from __future__ import annotations

import itertools

from label_queue.folds.shown import ShownCandidate, ShownPrompt
from label_queue.oversight.gold import GoldEdit
from label_queue.oversight.gold_rows import (
    Agreement,
    AgreementPage,
    GoldPage,
    GoldRow,
    Origin,
)
from label_queue.oversight.overview import Disagreement
from label_queue.quality.gold_tasks import GoldTask
from protocol.errors import InvalidLabel, LabelConflict, UnknownTask
from tests.support.overview import changed

NUM_CANDIDATES = 2


class GoldShelf:
    """The promises of `GoldKeeping`, without a ledger; newest first."""

    def __init__(self) -> None:
        self.rows: list[GoldRow] = []
        self.agreements: list[Agreement] = []
        self._numbers = itertools.count(1)

    def page(self, *, offset: int, limit: int, is_asked: bool | None) -> GoldPage:
        found = [row for row in self.rows if is_asked in (None, row.is_asked)]
        return GoldPage(
            gold=tuple(found[offset : offset + limit]),
            offset=offset,
            total=len(found),
            num_asked=sum(row.is_asked for row in self.rows),
            num_candidates=NUM_CANDIDATES,
        )

    def agreement_page(self, *, offset: int, limit: int) -> AgreementPage:
        names = {row.gold_id for row in self.rows if row.is_asked}
        found = [each for each in self.agreements if f"gold-of-{each.query_id}" not in names]
        return AgreementPage(
            queries=tuple(found[offset : offset + limit]), offset=offset, total=len(found)
        )

    def make(self, past: Disagreement | Agreement, choice: str, actor: str) -> GoldRow:
        name = f"gold-of-{past.query_id}"
        return self._put(name, past.prompt, past.candidates, choice, "past", actor)

    def write(self, task: GoldTask, actor: str) -> GoldRow:
        if len(task.candidates) != NUM_CANDIDATES:
            raise InvalidLabel(f"candidates: want {NUM_CANDIDATES}", "candidates")
        return self._write(task, actor)

    def edit(self, gold_id: str, edit: GoldEdit, reason: str, actor: str) -> GoldRow:
        old = self.row(gold_id)
        if not old.is_asked:
            raise LabelConflict("this gold is retired: bring it back before you edit it")
        prompt = edit.prompt if edit.prompt is not None else old.prompt.messages or old.prompt.text
        task = GoldTask.model_construct(
            prompt=prompt,
            candidates=edit.candidates or tuple(each.text for each in old.candidates),
            answer=edit.answer,
            language=old.prompt.language,
            node=old.prompt.node,
        )
        new = self._write(task, actor)
        self._set(gold_id, is_asked=False, replaced_by=new.gold_id, decided_by=actor, why=reason)
        return self._set(new.gold_id, replaces=gold_id, why=reason)

    def retire(self, gold_id: str, reason: str, actor: str) -> GoldRow:
        self.row(gold_id)
        return self._set(gold_id, is_asked=False, decided_by=actor, why=reason)

    def bring_back(self, gold_id: str, reason: str, actor: str) -> GoldRow:
        successor = self.row(gold_id).replaced_by
        if successor is not None:
            self._set(successor, is_asked=False, replaced_by=gold_id, decided_by=actor)
        return self._set(gold_id, is_asked=True, replaced_by=None, decided_by=actor, why=reason)

    def row(self, gold_id: str) -> GoldRow:
        for row in self.rows:
            if row.gold_id == gold_id:
                return row
        raise UnknownTask(f"no gold {gold_id!r} in this run: see the list", "gold_id")

    def _write(self, task: GoldTask, actor: str) -> GoldRow:
        text, messages = ("", task.prompt) if isinstance(task.prompt, tuple) else (task.prompt, ())
        shown = ShownPrompt(text=text, messages=messages, language=task.language, node=task.node)
        name = f"gold-{next(self._numbers)}"
        candidates = tuple(
            ShownCandidate(candidate_id=f"{name}-{'abcdefgh'[i]}", text=text)
            for i, text in enumerate(task.candidates)
        )
        return self._put(
            name, shown, candidates, candidates[task.answer].candidate_id, "written", actor
        )

    def _put(
        self,
        name: str,
        prompt: ShownPrompt,
        candidates: tuple[ShownCandidate, ...],
        answer: str,
        origin: Origin,
        actor: str,
    ) -> GoldRow:
        if name in [row.gold_id for row in self.rows]:
            return self._set(name, is_asked=True, answer=answer, decided_by=actor)
        row = GoldRow(
            gold_id=name,
            prompt=prompt,
            candidates=candidates,
            answer=answer,
            is_asked=True,
            origin=origin,
            made_at=900.0,
            made_by=actor,
            decided_at=900.0,
            decided_by=actor,
            why="made",
            replaces=None,
            replaced_by=None,
            num_shown=0,
            right=0,
            wrong=0,
        )
        self.rows.insert(0, row)
        return row

    def _set(self, gold_id: str, **changes: object) -> GoldRow:
        place = self.rows.index(self.row(gold_id))
        self.rows[place] = changed(self.rows[place], **changes)
        return self.rows[place]
