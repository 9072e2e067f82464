"""What the run's owners ask of the label queue: who comes in, whose labels count, gold, cord."""

from __future__ import annotations

from label_queue.folds.people import PeoplePage, Person
from label_queue.labeling.admissions import Admission, Admissions
from label_queue.ledger.records import Role
from label_queue.oversight.cord import Cord
from label_queue.oversight.exclusion import Act, ExclusionPreview
from label_queue.oversight.given_answers import AgreementMatrix, AnswerPage
from label_queue.oversight.gold import GoldEdit, GoldKeeping
from label_queue.oversight.gold_rows import AgreementPage, GoldPage, GoldRow
from label_queue.oversight.overview import Overview
from label_queue.oversight.owner import Oversight
from label_queue.quality.gold_tasks import GoldTask
from protocol.cord import CordState
from protocol.names import OWNER


class OwnerSide:
    """overview; people and roles; exclude, reinstate, undo; gold; pull, release, roll back.

    Whatever changes something says who does it: `actor`, by the name of an owner, which the ledger
    keeps. Errors are LabelErrors.
    """

    def __init__(
        self, *, admissions: Admissions, oversight: Oversight, gold: GoldKeeping, cord: Cord
    ) -> None:
        self._admissions = admissions
        self._oversight = oversight
        self._gold = gold
        self._cord = cord

    async def overview(self) -> Overview:
        """Return all that the owner's page shows at once."""
        return await self._oversight.overview()

    async def wait_for_overview(self, after: float, timeout_s: float) -> Overview:
        """Wait for something to change; see `Oversight.wait_for_overview`."""
        return await self._oversight.wait_for_overview(after, timeout_s)

    async def people(
        self, *, offset: int, limit: int, search: str = "", role: Role | None = None
    ) -> PeoplePage:
        """Return a stretch of the people ever let in; see `people_page`."""
        return self._admissions.people(offset=offset, limit=limit, search=search, role=role)

    async def add_labeler(
        self, name: str, role: Role = "labeler", *, judges: bool = False, actor: str = OWNER
    ) -> str:
        """Return a new token for somebody, who is made if need be; see `Admissions.add_labeler`."""
        return await self._admissions.add_labeler(name, role, actor, judges=judges)

    async def admit(
        self,
        labeler_id: str,
        role: Role | None = None,
        *,
        judges: bool = False,
        actor: str = OWNER,
    ) -> Admission:
        """Give somebody a one-time link and a token; see `Admissions.admit`."""
        return await self._admissions.admit(labeler_id, role, actor, judges=judges)

    async def change_role(
        self, labeler_id: str, role: Role, reason: str, *, actor: str = OWNER
    ) -> Person:
        """Give somebody another role; see `Admissions.change_role`."""
        return await self._admissions.change_role(labeler_id, role, reason, actor)

    async def revoke(self, labeler_id: str, reason: str, *, actor: str = OWNER) -> None:
        """Void all tokens, links and sessions of somebody; see `Admissions.revoke`."""
        await self._admissions.revoke(labeler_id, reason, actor)

    async def revoke_token(
        self, labeler_id: str, token_id: str, reason: str, *, actor: str = OWNER
    ) -> Person:
        """Void one of them; see `Admissions.revoke_token`."""
        return await self._admissions.revoke_token(labeler_id, token_id, reason, actor)

    async def answers_of(
        self, labeler_id: str, *, offset: int, limit: int, only_disputed: bool = False
    ) -> AnswerPage:
        """Return a stretch of somebody's answers, newest first; see `Oversight.answers_of`."""
        return self._oversight.answers_of(
            labeler_id, offset=offset, limit=limit, only_disputed=only_disputed
        )

    async def agreement(self, *, offset: int, limit: int) -> AgreementMatrix:
        """Return a stretch of the matrix of agreement; see `agreement_matrix`."""
        return self._oversight.agreement(offset=offset, limit=limit)

    async def preview_exclusion(
        self, labeler_id: str, from_seq: int, act: Act = "exclude"
    ) -> ExclusionPreview:
        """Say what excluding, reinstating or undoing changes; see `Oversight.preview_exclusion`."""
        return await self._oversight.preview_exclusion(labeler_id, from_seq, act)

    async def exclude(
        self, labeler_id: str, from_seq: int, reason: str, *, actor: str = OWNER
    ) -> ExclusionPreview:
        """Leave somebody's labels out; see `Oversight.exclude`."""
        return await self._oversight.exclude(labeler_id, from_seq, reason, actor)

    async def reinstate(
        self, labeler_id: str, reason: str, *, actor: str = OWNER
    ) -> ExclusionPreview:
        """Lift exclusion, suspension or question; see `Oversight.reinstate`."""
        return await self._oversight.reinstate(labeler_id, reason, actor)

    async def undo(
        self, labeler_id: str, act_id: str, reason: str, *, actor: str = OWNER
    ) -> ExclusionPreview:
        """Take the newest of those decisions back; see `Oversight.undo`."""
        return await self._oversight.undo(labeler_id, act_id, reason, actor)

    async def pull_cord(self, reason: str, *, actor: str = OWNER) -> CordState:
        """Stop the line, as an owner; see `Cord.pull`."""
        return await self._cord.pull(actor, reason)

    async def release_cord(self, reason: str, pull_id: str, *, actor: str = OWNER) -> CordState:
        """Take one reason away, by its name; see `Cord.release`."""
        return await self._cord.release(actor, reason, pull_id)

    async def order_rollback(
        self, to_version: int, reason: str, *, actor: str = OWNER
    ) -> CordState:
        """Pull the cord if need be and order a rollback; see `Cord.order_rollback`."""
        return await self._cord.order_rollback(actor, to_version, reason)

    async def gold(self, *, offset: int, limit: int, is_asked: bool | None = None) -> GoldPage:
        """Return a stretch of the gold; see `gold_page`."""
        return self._gold.page(offset=offset, limit=limit, is_asked=is_asked)

    async def agreements(self, *, offset: int, limit: int) -> AgreementPage:
        """Return a stretch of the queries on which people agree; see `agreement_page`."""
        return self._gold.agreements(offset=offset, limit=limit)

    async def make_gold(self, query_id: str, choice: str, *, actor: str = OWNER) -> GoldRow:
        """Ask a past query as gold from now on; see `GoldKeeping.make`."""
        return await self._gold.make(query_id, choice, actor)

    async def write_gold(self, task: GoldTask, *, actor: str = OWNER) -> GoldRow:
        """Ask what an owner wrote as gold from now on; see `GoldKeeping.write`."""
        return await self._gold.write(task, actor)

    async def edit_gold(
        self, gold_id: str, edit: GoldEdit, reason: str, *, actor: str = OWNER
    ) -> GoldRow:
        """Ask another version in its place from now on; see `GoldKeeping.edit`."""
        return await self._gold.edit(gold_id, edit, reason, actor)

    async def retire_gold(self, gold_id: str, reason: str, *, actor: str = OWNER) -> GoldRow:
        """Ask gold of nobody from now on; see `GoldKeeping.retire`."""
        return await self._gold.retire(gold_id, reason, actor)

    async def bring_back_gold(self, gold_id: str, reason: str, *, actor: str = OWNER) -> GoldRow:
        """Ask retired gold again from now on; see `GoldKeeping.bring_back`."""
        return await self._gold.bring_back(gold_id, reason, actor)
