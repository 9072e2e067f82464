"""Letting people in and out: tokens, one-time links and sessions are given and voided here."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass

from label_queue.config import IntakeConfig
from label_queue.folds.access import Access
from label_queue.ledger.group_commit import GroupCommit
from label_queue.ledger.records import LabelerToken, Record, Role, TokenKind, TokenRevocation
from protocol.bearer import token_sha256
from protocol.errors import InvalidLabel, LabelConflict, ResourceError, UnknownTask
from protocol.names import RESERVED_NAMES


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """How somebody enters: once by the link in a browser, or with the token as a client."""

    labeler_id: str
    link: str
    """Path of the one-time link, e.g. "/enter/…"."""
    token: str
    """Token for `Authorization: Bearer`; shown this once."""


class Admissions:
    """Writes down who may come in before it says so. Only digests are kept."""

    def __init__(
        self,
        access: Access,
        commits: GroupCommit,
        config: IntakeConfig,
        clock: Callable[[], float],
    ) -> None:
        self._access = access
        self._commits = commits
        self._clock = clock
        self._ttl_s: dict[TokenKind, float | None] = {
            "token": config.token_ttl_s,
            "link": config.link_ttl_s,
            "session": config.session_max_age_s,
        }

    async def add_labeler(self, labeler_id: str, role: Role = "labeler") -> str:
        """Return a new bearer token. Not idempotent: those before stay good."""
        token, record = self._issue(labeler_id, role, "token")
        await self._commits.write([record])
        return token

    async def admit(self, labeler_id: str, role: Role) -> Admission:
        """Return a new one-time link and a new bearer token. Not idempotent.

        Raises InvalidLabel for a labeler named like those who act in the cord's record.
        """
        if role == "labeler" and labeler_id in RESERVED_NAMES:
            raise InvalidLabel(
                f"{labeler_id!r} is a name the run itself uses: choose another", "labeler_id"
            )
        code, link = self._issue(labeler_id, role, "link")
        token, bearer = self._issue(labeler_id, role, "token")
        await self._commits.write([link, bearer])
        return Admission(labeler_id=labeler_id, link=f"/enter/{code}", token=token)

    async def open_link(self, code: str) -> str:
        """Use up a one-time link; return the token of the session it opens.

        Once means once: of two who come at the same time one is refused. Raises Unauthenticated,
        and ResourceError when the disk refuses; then the link is still good.
        """
        link = self._access.claim_link(code)
        token, session = self._issue(link.labeler_id, link.role, "session")
        try:
            await self._commits.write([self._end(link, "used"), session])
        except ResourceError:
            self._access.give_back(link)
            raise
        return token

    async def leave(self, token: str) -> None:
        """End a session. Idempotent; what is no session, or over, is left alone."""
        session = self._access.session(token)
        if session is not None:
            await self._commits.write([self._end(session, "left")])

    async def revoke(self, labeler_id: str, reason: str) -> None:
        """Void all tokens, links and sessions of somebody. Idempotent.

        Raises UnknownTask for somebody never let in, and LabelConflict where nobody would be left
        who can oversee the run.
        """
        if not self._access.knows(labeler_id):
            raise UnknownTask(f"nobody called {labeler_id!r} was ever let in: see the list", "id")
        owners = self._access.live(role="owner")
        if owners and all(token.labeler_id == labeler_id for token in owners):
            raise LabelConflict(f"{labeler_id!r} is the only owner: admit another one first")
        ended: list[Record] = [
            self._end(token, reason) for token in self._access.live(labeler_id=labeler_id)
        ]
        await self._commits.write(ended)

    def _issue(self, labeler_id: str, role: Role, kind: TokenKind) -> tuple[str, LabelerToken]:
        token = secrets.token_urlsafe(32)
        now, ttl_s = self._clock(), self._ttl_s[kind]
        record = LabelerToken(
            token_sha256=token_sha256(token),
            labeler_id=labeler_id,
            created_at=now,
            expires_at=None if ttl_s is None else now + ttl_s,
            role=role,
            kind=kind,
        )
        return token, record

    def _end(self, token: LabelerToken, reason: str) -> TokenRevocation:
        return TokenRevocation(token_sha256=token.token_sha256, at=self._clock(), reason=reason)
