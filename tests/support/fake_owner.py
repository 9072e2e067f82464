"""The owner's side of a fake queue: decisions are kept, and what they change is shown."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from label_queue.folds.access import Identity
from label_queue.folds.cord import after
from label_queue.folds.people import PeoplePage, Person, WayIn
from label_queue.labeling.admissions import Admission
from label_queue.ledger.records import Role, TokenKind
from label_queue.oversight.exclusion import Act, ExclusionPreview
from label_queue.oversight.given_answers import AgreementMatrix, AnswerPage
from label_queue.oversight.gold import GoldEdit
from label_queue.oversight.gold_rows import Agreement, AgreementPage, GoldPage, GoldRow
from label_queue.oversight.overview import Disagreement, Overview
from label_queue.quality.gold_tasks import GoldTask
from label_queue.sides.owner import OwnerSide
from protocol.cord import CordState, ReasonReleased
from protocol.errors import LabelConflict, UnknownTask
from protocol.names import OWNER

if TYPE_CHECKING:
    from tests.support.fake_people_queue import FakePeopleQueue


class FakeOwner(OwnerSide):
    """The owner's side of a fake queue."""

    def __init__(self, queue: FakePeopleQueue) -> None:
        self._queue = queue
        self._before: dict[str, dict[str, object]] = {}
        """How somebody stood before the newest act, under its name."""

    def _did(self, actor: str, *decision: str) -> None:
        self._queue.decisions.append(decision)
        self._queue.actors.append(actor)

    async def add_labeler(
        self, name: str, role: Role = "labeler", *, judges: bool = False, actor: str = OWNER
    ) -> str:
        return (await self.admit(name, role, judges=judges, actor=actor)).token

    async def admit(
        self,
        labeler_id: str,
        role: Role | None = None,
        *,
        judges: bool = False,
        actor: str = OWNER,
    ) -> Admission:
        known = self._queue.roles.get(labeler_id)
        given = role or known or "labeler"
        if known not in (None, given) and self._ways_in(labeler_id):
            raise LabelConflict(f"{labeler_id!r} is in as {known}: change their role instead")
        number = next(self._queue.numbers)
        identity = Identity(labeler_id=labeler_id, role=given)
        self._queue.roles[labeler_id] = given
        if judges:
            self._queue.judges.add(labeler_id)
        self._queue.links[f"code-{number}"] = identity
        self._queue.identities[f"token-{number}"] = identity
        return Admission(
            labeler_id=labeler_id,
            link=f"/enter/code-{number}",
            token=f"token-{number}",
            role=given,
            token_ids=(f"code-{number}", f"token-{number}"),
        )

    async def people(
        self, *, offset: int, limit: int, search: str = "", role: Role | None = None
    ) -> PeoplePage:
        names = [
            name
            for name, given in sorted(self._queue.roles.items())
            if search.casefold() in name.casefold() and role in (None, given)
        ]
        people = tuple(self._person(name) for name in names[offset : offset + limit])
        return PeoplePage(people=people, offset=offset, total=len(names))

    def _person(self, labeler_id: str) -> Person:
        if labeler_id not in self._queue.roles:
            raise UnknownTask(f"nobody called {labeler_id!r} was ever let in")
        return Person(
            labeler_id=labeler_id,
            role=self._queue.roles[labeler_id],
            ways_in=self._ways_in(labeler_id),
            let_in_at=900.0,
            last_used_at=990.0,
        )

    def _ways_in(self, labeler_id: str) -> tuple[WayIn, ...]:
        tokens = [*self._queue.identities.items(), *self._queue.links.items()]
        kinds: dict[str, TokenKind] = {"token": "token", "session": "session", "code": "link"}
        return tuple(
            WayIn(
                token_id=token,
                kind=kinds[token.split("-")[0]],
                made_at=900.0,
                made_by=OWNER,
                expires_at=None,
                last_used_at=990.0,
            )
            for token, who in tokens
            if who.labeler_id == labeler_id
        )

    async def change_role(
        self, labeler_id: str, role: Role, reason: str, *, actor: str = OWNER
    ) -> Person:
        if self._person(labeler_id).role != role:
            self._did(actor, "role", labeler_id, role, reason)
            self._queue.roles[labeler_id] = role
            for tokens in (self._queue.identities, self._queue.links):
                for token, who in tokens.items():
                    if who.labeler_id == labeler_id:
                        tokens[token] = replace(who, role=role)
        return self._person(labeler_id)

    async def revoke(self, labeler_id: str, reason: str, *, actor: str = OWNER) -> None:
        self._did(actor, "revoke", labeler_id, reason)
        self._end({way.token_id for way in self._ways_in(labeler_id)})

    async def revoke_token(
        self, labeler_id: str, token_id: str, reason: str, *, actor: str = OWNER
    ) -> Person:
        self._person(labeler_id)
        if token_id not in self._queue.ended:
            if token_id not in {way.token_id for way in self._ways_in(labeler_id)}:
                raise UnknownTask(f"{labeler_id!r} never had a token {token_id!r}: see the list")
            self._end({token_id})
            self._did(actor, "revoke_token", labeler_id, token_id, reason)
        return self._person(labeler_id)

    def _end(self, ended: set[str]) -> None:
        self._queue.ended |= ended
        for tokens in (self._queue.identities, self._queue.links):
            for token in ended & tokens.keys():
                del tokens[token]

    async def overview(self) -> Overview:
        return self._queue.shown_overview

    async def wait_for_overview(self, after: float, timeout_s: float) -> Overview:
        deadline = time.monotonic() + timeout_s
        while self._queue.shown_overview.at <= after:
            self._queue.change.clear()
            try:
                await asyncio.wait_for(
                    self._queue.change.wait(), max(0.0, deadline - time.monotonic())
                )
            except TimeoutError:
                break
        return self._queue.shown_overview

    async def answers_of(
        self, labeler_id: str, *, offset: int, limit: int, only_disputed: bool = False
    ) -> AnswerPage:
        await self.preview_exclusion(labeler_id, 0)
        return AnswerPage(labeler_id=labeler_id, answers=(), offset=offset, total=0)

    async def agreement(self, *, offset: int, limit: int) -> AgreementMatrix:
        return AgreementMatrix(names=(), rows=(), offset=offset, total=0)

    async def preview_exclusion(
        self, labeler_id: str, from_seq: int, act: Act = "exclude"
    ) -> ExclusionPreview:
        row = next(
            (row for row in self._queue.shown_overview.labelers if row.labeler_id == labeler_id),
            None,
        )
        if row is None:
            raise UnknownTask(f"nobody is called {labeler_id!r}")
        since = from_seq if act == "exclude" else row.excluded_from or 0
        moved = max(0, row.labels - since)
        return ExclusionPreview(
            labeler_id=labeler_id,
            from_seq=from_seq,
            labels_leaving=moved if act == "exclude" else 0,
            labels_returning=moved if act == "reinstate" else 0,
            weight_share=row.weight_share,
            forces_refit=row.weight_share > 0.02,
            reward_versions=(3, 4, 5),
            policy_versions=(21, 34),
        )

    async def exclude(
        self, labeler_id: str, from_seq: int, reason: str, *, actor: str = OWNER
    ) -> ExclusionPreview:
        preview = await self.preview_exclusion(labeler_id, from_seq)
        self._did(actor, "exclude", labeler_id, str(from_seq), reason)
        act = self._undoable(labeler_id)
        self._queue.set_row(labeler_id, state="excluded", excluded_from=from_seq, weight_share=0.0)
        return replace(preview, undoable=act)

    async def reinstate(
        self, labeler_id: str, reason: str, *, actor: str = OWNER
    ) -> ExclusionPreview:
        preview = await self.preview_exclusion(labeler_id, 0)
        self._did(actor, "reinstate", labeler_id, reason)
        act = self._undoable(labeler_id)
        self._queue.set_row(labeler_id, state="active", excluded_from=None)
        return replace(preview, undoable=act)

    async def undo(
        self, labeler_id: str, act_id: str, reason: str, *, actor: str = OWNER
    ) -> ExclusionPreview:
        preview = await self.preview_exclusion(labeler_id, 0, "undo")
        before = self._before.pop(act_id, None)
        if before is None:
            raise LabelConflict("another decision about them came after it", "act_id")
        self._did(actor, "undo", labeler_id, act_id, reason)
        self._queue.set_row(labeler_id, **before)
        return preview

    def _undoable(self, labeler_id: str) -> str:
        """Keep how somebody stands; return the name of the act that is about to change it."""
        rows = {row.labeler_id: row for row in self._queue.shown_overview.labelers}
        row, act = rows[labeler_id], f"act-{len(self._queue.decisions)}"
        kept = ("state", "excluded_from", "weight_share")
        self._before = {act: {name: getattr(row, name) for name in kept}}
        return act

    async def pull_cord(self, reason: str, *, actor: str = OWNER) -> CordState:
        return self._queue.pull(actor, reason)

    async def release_cord(self, reason: str, pull_id: str, *, actor: str = OWNER) -> CordState:
        cord = self._queue.shown_overview.cord
        if cord.rollback_to is not None:
            raise LabelConflict("a rollback is under way: wait for it")
        if pull_id not in self._queue.pull_ids:
            raise UnknownTask("nobody pulled the cord by that name", "pull_id")
        self._queue.decisions.append(("release", reason))
        self._queue.released.append(pull_id)
        released = ReasonReleased(event_id="", actor=actor, reason=reason, at=0.0, pull_id=pull_id)
        cord = after(cord, released)
        self._queue.show(cord=cord)
        return cord

    async def order_rollback(
        self, to_version: int, reason: str, *, actor: str = OWNER
    ) -> CordState:
        cord = self._queue.shown_overview.cord
        if not cord.is_pulled:
            cord = self._queue.pull(actor, reason)
        cord = replace(cord, rollback_to=to_version, offered_rollback=None)
        self._queue.decisions.append(("roll_back", str(to_version), reason))
        self._queue.show(cord=cord)
        return cord

    async def gold(self, *, offset: int, limit: int, is_asked: bool | None = None) -> GoldPage:
        return self._queue.gold.page(offset=offset, limit=limit, is_asked=is_asked)

    async def agreements(self, *, offset: int, limit: int) -> AgreementPage:
        return self._queue.gold.agreement_page(offset=offset, limit=limit)

    async def make_gold(self, query_id: str, choice: str, *, actor: str = OWNER) -> GoldRow:
        known: list[Disagreement | Agreement] = [
            *self._queue.shown_overview.disagreements,
            *self._queue.gold.agreements,
        ]
        past = next((each for each in known if each.query_id == query_id), None)
        if past is None:
            raise UnknownTask(f"no query {query_id!r} in this run", "query_id")
        self._did(actor, "gold", query_id, choice)
        return self._queue.gold.make(past, choice, actor)

    async def write_gold(self, task: GoldTask, *, actor: str = OWNER) -> GoldRow:
        row = self._queue.gold.write(task, actor)
        self._did(actor, "write_gold", row.gold_id)
        return row

    async def edit_gold(
        self, gold_id: str, edit: GoldEdit, reason: str, *, actor: str = OWNER
    ) -> GoldRow:
        row = self._queue.gold.edit(gold_id, edit, reason, actor)
        self._did(actor, "edit_gold", gold_id, reason)
        return row

    async def retire_gold(self, gold_id: str, reason: str, *, actor: str = OWNER) -> GoldRow:
        row = self._queue.gold.retire(gold_id, reason, actor)
        self._did(actor, "retire_gold", gold_id, reason)
        return row

    async def bring_back_gold(self, gold_id: str, reason: str, *, actor: str = OWNER) -> GoldRow:
        row = self._queue.gold.bring_back(gold_id, reason, actor)
        self._did(actor, "bring_back_gold", gold_id, reason)
        return row
