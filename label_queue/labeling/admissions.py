"""Letting people in and out: tokens, links, sessions and roles are given and taken back here.

With `labels.intake.oidc` an identity is a way in too: whoever is let in under a name gets it beside
link and token, and it is listed and revoked as they are. By it a provider's word opens sessions,
which are like those that links open.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from label_queue.config import IntakeConfig
from label_queue.folds.access import Access
from label_queue.folds.people import PeoplePage, Person, people_page, person, token_id_of
from label_queue.labeling.outside_identity import (
    OutsideIdentity,
    check_name,
    is_of_domains,
    may_have_identity,
)
from label_queue.ledger.group_commit import GroupCommit
from label_queue.ledger.records import (
    LabelerToken,
    Record,
    Role,
    RoleChange,
    TokenKind,
    TokenRevocation,
)
from label_queue.quality.standings import Standings
from label_queue.sign_in_config import EMAIL, OidcConfig
from protocol.bearer import token_sha256
from protocol.errors import Forbidden, InvalidLabel, LabelConflict, ResourceError, UnknownTask
from protocol.labels import Appointed, Source
from protocol.names import OWNER, RESERVED_NAMES


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """How somebody enters: once by the link in a browser, or with the token as a client."""

    labeler_id: str
    link: str
    """Path of the one-time link, e.g. "/enter/…"."""
    token: str
    """Token for `Authorization: Bearer`; shown this once."""
    role: Role
    token_ids: tuple[str, ...]
    """What names link and token, and an identity made with them, where they are to be revoked."""


class Admissions:
    """Writes down who may come in before it says so. Only digests are kept.

    Who acts is said with every call, and kept in the ledger.
    """

    def __init__(
        self,
        access: Access,
        standings: Standings,
        commits: GroupCommit,
        config: IntakeConfig,
        clock: Callable[[], float],
        new_id: Callable[[], str],
        let_go: Callable[[str], None],
    ) -> None:
        """Stand before a ledger; `let_go` frees the tasks of who may not label any more."""
        self._access = access
        self._standings = standings
        self._commits = commits
        self._oidc = config.oidc
        self._clock = clock
        self._new_id = new_id
        self._let_go = let_go
        self._deciding = asyncio.Lock()
        """One decision at a time: of two owners who revoke each other, one stays."""
        self._ttl_s: dict[TokenKind, float | None] = {
            "token": config.token_ttl_s,
            "link": config.link_ttl_s,
            "session": config.session_max_age_s,
            "identity": None,
        }

    def people(
        self, *, offset: int, limit: int, search: str = "", role: Role | None = None
    ) -> PeoplePage:
        """Return a stretch of the people ever let in; see `people_page`."""
        return people_page(self._access, offset=offset, limit=limit, search=search, role=role)

    async def add_labeler(
        self, labeler_id: str, role: Role, actor: str, *, judges: bool = False
    ) -> str:
        """Return a new bearer token. Not idempotent: those before stay good.

        Raises as `admit`.
        """
        async with self._deciding:
            _, changes = self._role_for(labeler_id, role, actor)
            changes += self._appointment_of(labeler_id, role, actor) if judges else []
            token, record = self._issue(labeler_id, role, "token", actor)
            identities = self._identity_for(labeler_id, role, actor)
            await self._commits.write([*changes, record, *identities])
            self._refuse_too_late(labeler_id, judges=judges)
        return token

    async def admit(
        self, labeler_id: str, role: Role | None, actor: str, *, judges: bool = False
    ) -> Admission:
        """Return a new one-time link and a new bearer token. Not idempotent.

        `role` None is the one they have; a labeler's, for somebody new. Whoever `judges` is
        appointed with that, for good. Raises InvalidLabel for a name by which the run itself acts
        in its records, but for `owner` as an owner's, and for somebody other than a labeler who
        would judge; LabelConflict for somebody who is in, in another role, and for somebody who
        would judge and has given a label.
        """
        async with self._deciding:
            given, changes = self._role_for(labeler_id, role, actor)
            changes += self._appointment_of(labeler_id, given, actor) if judges else []
            code, link = self._issue(labeler_id, given, "link", actor)
            token, bearer = self._issue(labeler_id, given, "token", actor)
            ways_in = [link, bearer, *self._identity_for(labeler_id, given, actor)]
            await self._commits.write([*changes, *ways_in])
            self._refuse_too_late(labeler_id, judges=judges)
        return Admission(
            labeler_id=labeler_id,
            link=f"/enter/{code}",
            token=token,
            role=given,
            token_ids=tuple(map(token_id_of, ways_in)),
        )

    async def open_link(self, code: str) -> str:
        """Use up a one-time link; return the token of the session it opens.

        Once means once: of two who come at the same time one is refused. Raises Unauthenticated,
        and ResourceError when the disk refuses; then the link is still good.
        """
        # A decision too: else who voids all that somebody has would miss the session on its way.
        async with self._deciding:
            link = self._access.claim_link(code)
            who, role = link.labeler_id, self._access.role(link)
            token, session = self._issue(who, role, "session", who, opened_by=link)
            try:
                await self._commits.write([self._end(link, "used", who), session])
            except ResourceError:
                self._access.give_back(link)
                raise
        return token

    async def sign_in(self, outsider: OutsideIdentity) -> str:
        """Return the token of the session that a provider's word opens. Not idempotent.

        In by it is who has an identity that was not revoked; who was let in before identities were
        kept, while anything lets them in; and, as a labeler, whoever is new and of a domain that is
        let in. Raises Forbidden for anybody else, for a labeler whose labels were excluded, and
        where no provider is configured.
        """
        if self._oidc is None:
            raise Forbidden("nobody signs in by a provider here: ask the run's owner for a link")
        async with self._deciding:
            who = self._person_named(check_name(outsider.name, self._oidc), self._oidc)
            role = self._access.role_of(who) or "labeler"
            made = self._identity_of(who, role, self._oidc)
            if role == "labeler" and self._standings[who].state == "excluded":
                raise Forbidden(f"the labels of {who!r} were excluded: ask the run's owner")
            live = (each for each in self._access.identities(who) if not self._access.is_void(each))
            identity = next(live, None) or made[0]
            token, session = self._issue(
                who, role, "session", who, outsider.provenance, opened_by=identity
            )
            await self._commits.write([*made, session])
        for identity in self._access.identities(who):
            self._access.use(identity)
        return token

    async def leave(self, token: str) -> None:
        """End a session. Idempotent; what is no session, or over, is left alone."""
        session = self._access.session(token)
        if session is not None:
            await self._commits.write([self._end(session, "left", session.labeler_id)])

    async def change_role(self, labeler_id: str, role: Role, reason: str, actor: str) -> Person:
        """Give somebody another role, by whatever they come, from their next request on.

        Idempotent. Raises UnknownTask for somebody never let in, InvalidLabel as `admit` does, and
        LabelConflict where nobody would be left who can oversee the run.
        """
        self._refuse_unknown(labeler_id)
        _refuse_reserved(labeler_id, role)
        async with self._deciding:
            if self._access.role_of(labeler_id) != role:
                if role != "owner":
                    self._refuse_last_owner(labeler_id, self._access.live(labeler_id))
                await self._commits.write([self._change(labeler_id, role, reason, actor)])
                self._let_go(labeler_id)
        return person(self._access, labeler_id)

    async def revoke(self, labeler_id: str, reason: str, actor: str) -> None:
        """Void all tokens, links and sessions of somebody. Idempotent.

        Raises UnknownTask for somebody never let in, and LabelConflict where nobody would be left
        who can oversee the run.
        """
        self._refuse_unknown(labeler_id)
        async with self._deciding:
            await self._revoke(labeler_id, self._access.live(labeler_id), reason, actor)

    async def revoke_token(self, labeler_id: str, token_id: str, reason: str, actor: str) -> Person:
        """Void one token, link or session of somebody, named as `WayIn.token_id`. Idempotent.

        With a link ends the session that it opened, also where it was used up by that, and with an
        identity those that it let in. Raises UnknownTask for one they never had, and LabelConflict
        as `revoke` does.
        """
        self._refuse_unknown(labeler_id)
        own = self._access.tokens_of(labeler_id)
        named = [token for token in own if token_id_of(token) == token_id]
        if not named:
            raise UnknownTask(f"{labeler_id!r} never had a token {token_id!r}: see the list", "id")
        async with self._deciding:
            ending = [*named, *self._access.opened_by(labeler_id, named)]
            live = [token for token in ending if not self._access.is_void(token)]
            await self._revoke(labeler_id, live, reason, actor)
        return person(self._access, labeler_id)

    async def _revoke(
        self, labeler_id: str, tokens: list[LabelerToken], reason: str, actor: str
    ) -> None:
        self._refuse_last_owner(labeler_id, tokens)
        ended: list[Record] = [self._end(token, reason, actor) for token in tokens]
        await self._commits.write(ended)
        self._let_go(labeler_id)

    def _refuse_unknown(self, labeler_id: str) -> None:
        if not self._access.knows(labeler_id):
            raise UnknownTask(f"nobody called {labeler_id!r} was ever let in: see the list", "id")

    def _refuse_last_owner(self, labeler_id: str, ending: list[LabelerToken]) -> None:
        """Refuse to end what alone lets an owner in."""
        owners = self._access.live(role="owner")
        if owners and all(token in ending for token in owners):
            raise LabelConflict(f"{labeler_id!r} is the only owner: admit another one first")

    def _role_for(
        self, labeler_id: str, role: Role | None, actor: str
    ) -> tuple[Role, list[Record]]:
        """Return the role in which somebody is let in, and the change of role that takes."""
        known = self._access.role_of(labeler_id)
        given = role or known or "labeler"
        _refuse_reserved(labeler_id, given)
        if known is None or known == given:
            return given, []
        if self._access.live(labeler_id):
            raise LabelConflict(f"{labeler_id!r} is in as {known}: change their role instead")
        return given, [self._change(labeler_id, given, "let in again", actor)]

    def _appointment_of(self, labeler_id: str, role: Role, actor: str) -> list[Record]:
        """Return the event that makes a judge of somebody who is none yet."""
        if role != "labeler":
            raise InvalidLabel(f"only a labeler judges, and {labeler_id!r} is {role}", "judges")
        if self._standings[labeler_id].is_judge:
            return []
        if self._standings.has_labelled(labeler_id):
            raise _cannot_judge(labeler_id)
        return [
            Appointed(
                seq=0,
                event_id=self._new_id(),
                labeler_id=labeler_id,
                received_at=self._clock(),
                source=Source(system="owner"),
                actor=actor,
            )
        ]

    def _refuse_too_late(self, labeler_id: str, *, judges: bool) -> None:
        """Refuse somebody who was to judge, and whose first label was on its way meanwhile."""
        if judges and not self._standings[labeler_id].is_judge:
            raise _cannot_judge(labeler_id)

    def _person_named(self, name: str, config: OidcConfig) -> str:
        """Return who is called so; an address may be written in another case. It may be new."""
        alike = [name] if config.claim != EMAIL else self._access.alike(name)
        if len(alike) > 1 and name not in alike:
            raise Forbidden(
                f"{name!r} may be any of {', '.join(sorted(alike))}: the run's owner must revoke "
                "all but one"
            )
        return name if name in alike or not alike else alike[0]

    def _identity_of(self, who: str, role: Role, config: OidcConfig) -> list[LabelerToken]:
        """Return the identity to be made for somebody who signs in; none where they have one.

        Raises Forbidden for who may not come in by one.
        """
        ever = self._access.identities(who)
        if any(not self._access.is_void(each) for each in ever):
            return []
        was_let_in = not ever and bool(self._access.live(who))
        if was_let_in or (not self._access.knows(who) and is_of_domains(who, config)):
            return [self._issue(who, role, "identity", who)[1]]
        if self._access.knows(who):
            raise Forbidden(f"{who!r} may not come in any more: ask the run's owner")
        raise Forbidden(f"nobody called {who!r} was added here: ask the run's owner to add you")

    def _identity_for(self, labeler_id: str, role: Role, actor: str) -> list[LabelerToken]:
        """Return the identity that goes with a link or token.

        None where somebody has one already, or nobody of that name can have one.
        """
        if self._oidc is None or not may_have_identity(labeler_id, self._oidc):
            return []
        if any(not self._access.is_void(each) for each in self._access.identities(labeler_id)):
            return []
        return [self._issue(labeler_id, role, "identity", actor)[1]]

    def _change(self, labeler_id: str, role: Role, reason: str, actor: str) -> RoleChange:
        return RoleChange(
            change_id=self._new_id(),
            labeler_id=labeler_id,
            role=role,
            actor=actor,
            reason=reason,
            at=self._clock(),
        )

    def _issue(
        self,
        labeler_id: str,
        role: Role,
        kind: TokenKind,
        made_by: str,
        signed_in_as: str = "",
        *,
        opened_by: LabelerToken | None = None,
    ) -> tuple[str, LabelerToken]:
        token = secrets.token_urlsafe(32)
        now, ttl_s = self._clock(), self._ttl_s[kind]
        record = LabelerToken(
            token_sha256=token_sha256(token),
            labeler_id=labeler_id,
            created_at=now,
            expires_at=None if ttl_s is None else now + ttl_s,
            role=role,
            kind=kind,
            made_by=made_by,
            signed_in_as=signed_in_as,
            opened_by="" if opened_by is None else opened_by.token_sha256,
        )
        return token, record

    def _end(self, token: LabelerToken, reason: str, actor: str) -> TokenRevocation:
        return TokenRevocation(
            token_sha256=token.token_sha256, at=self._clock(), reason=reason, actor=actor
        )


def _cannot_judge(labeler_id: str) -> LabelConflict:
    return LabelConflict(
        f"{labeler_id!r} has given a label already, and only who never trained the reward judges: "
        "let in somebody else",
        "judges",
    )


def _refuse_reserved(labeler_id: str, role: Role) -> None:
    is_owner = labeler_id == OWNER and role == "owner"
    if labeler_id in RESERVED_NAMES and not is_owner:
        raise InvalidLabel(
            f"{labeler_id!r} is a name the run itself uses: choose another", "labeler_id"
        )
