"""Who may label, see or oversee, and how fast: tokens, links and sessions by their digests."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass

from label_queue.ledger.records import LabelerToken, Role, RoleChange, TokenRevocation
from protocol.bearer import token_sha256
from protocol.errors import TooFast, Unauthenticated

_RANKS: tuple[Role, ...] = ("labeler", "observer", "owner")


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Whose token or session it is."""

    labeler_id: str
    role: Role


@dataclass(slots=True)
class _Bucket:
    level: float
    filled_at: float


class Access:
    """Tokens by digest, those revoked, people's roles, and a token bucket a labeler.

    When a token or session was last used is known to this process alone: for a session, a restarted
    one takes its own beginning for it. What a session was given to live at most is in the ledger.
    """

    def __init__(
        self, *, per_s: float, burst: int, session_ttl_s: float, clock: Callable[[], float]
    ) -> None:
        self._per_s = per_s
        self._burst = burst
        self._session_ttl_s = session_ttl_s
        self._clock = clock
        self._began_at = clock()
        self._used_at: dict[str, float] = {}
        self._tokens: dict[str, LabelerToken] = {}
        self._tokens_of: dict[str, list[LabelerToken]] = {}
        """By person, oldest first."""
        self._roles: dict[str, Role] = {}
        """Roles that were changed, by person."""
        self._revoked: set[str] = set()
        self._claimed_links: set[str] = set()
        self._buckets: dict[str, _Bucket] = {}
        self.num_refused: Counter[str] = Counter()
        """Requests refused as above the rate, by labeler, since this process began."""

    @property
    def known(self) -> set[str]:
        """Everybody who was ever let in and is a labeler."""
        return {token.labeler_id for token in self._tokens.values() if self._is_labelers(token)}

    @property
    def labelers(self) -> set[str]:
        """Everybody who may label now."""
        live = (token for token in self._tokens.values() if not self.is_void(token))
        return {token.labeler_id for token in live if self._is_labelers(token)}

    @property
    def names(self) -> list[str]:
        """Everybody who was ever let in, in whatever role, by name."""
        return sorted(self._tokens_of)

    def add(self, token: LabelerToken) -> None:
        """Let a token in. One that is in already changes nothing."""
        if token.token_sha256 not in self._tokens:
            self._tokens[token.token_sha256] = token
            self._tokens_of.setdefault(token.labeler_id, []).append(token)

    def change_role(self, change: RoleChange) -> None:
        """Give somebody another role, by whatever they come."""
        self._roles[change.labeler_id] = change.role

    def revoke(self, revocation: TokenRevocation) -> None:
        """Void a token, also one that is let in later."""
        self._revoked.add(revocation.token_sha256)
        self._claimed_links.discard(revocation.token_sha256)

    def authenticate(self, token: str) -> Identity:
        """Return whose bearer token or session it is, which counts as its use.

        Raises Unauthenticated. A one-time link or an identity is none: it only opens a session.
        """
        known = self._tokens.get(token_sha256(token))
        if known is None or known.kind not in ("token", "session"):
            raise Unauthenticated("this token is not known here: ask the run's owner for one")
        if known.token_sha256 in self._revoked:
            raise Unauthenticated("this token was revoked: ask the run's owner for a new one")
        if self.is_void(known):
            raise Unauthenticated("this token has expired: ask the run's owner for a new one")
        self.use(known)
        return Identity(labeler_id=known.labeler_id, role=self.role(known))

    def claim_link(self, code: str) -> LabelerToken:
        """Take a one-time link for oneself, before its use is written. Raises Unauthenticated.

        Nobody else can claim it meanwhile; `give_back` it if its use could not be written.
        """
        link = self._tokens.get(token_sha256(code))
        if link is None or link.kind != "link":
            raise Unauthenticated("this link is not known here: ask the run's owner for one")
        if link.token_sha256 in self._revoked | self._claimed_links:
            raise Unauthenticated(
                "this link was used or revoked, and works once: ask the run's owner for a new one"
            )
        if self.is_void(link):
            raise Unauthenticated("this link has expired: ask the run's owner for a new one")
        self._claimed_links.add(link.token_sha256)
        return link

    def give_back(self, link: LabelerToken) -> None:
        """Let a link be claimed again."""
        self._claimed_links.discard(link.token_sha256)

    def session(self, token: str) -> LabelerToken | None:
        """Return the session of a token if it counts, or None."""
        known = self._tokens.get(token_sha256(token))
        is_open = known is not None and known.kind == "session" and not self.is_void(known)
        return known if is_open else None

    def live(self, labeler_id: str | None = None, role: Role | None = None) -> list[LabelerToken]:
        """Return the tokens, links and sessions that count, of one person or in one role."""
        all_tokens = self._tokens.values() if labeler_id is None else self.tokens_of(labeler_id)
        return [
            token
            for token in all_tokens
            if not self.is_void(token) and role in (None, self.role(token))
        ]

    def tokens_of(self, labeler_id: str) -> list[LabelerToken]:
        """Return all tokens, links and sessions somebody ever had, oldest first."""
        return self._tokens_of.get(labeler_id, [])

    def knows(self, labeler_id: str) -> bool:
        """Say whether somebody was ever let in, in whatever role."""
        return labeler_id in self._tokens_of

    def role(self, token: LabelerToken) -> Role:
        """Return the role in which somebody comes by a token."""
        return self._roles.get(token.labeler_id, token.role)

    def role_of(self, labeler_id: str) -> Role | None:
        """Return somebody's role; None for somebody never let in.

        In ledgers where one name has tokens in several roles, it is the highest that counts.
        """
        own = self.live(labeler_id) or self.tokens_of(labeler_id)[-1:]
        return max(map(self.role, own), key=_RANKS.index, default=None)

    def shuts_out(self, labeler_id: str) -> bool:
        """Say whether somebody who was let in once may not come in to label any more."""
        return self.knows(labeler_id) and all(
            self.role(token) == "observer" for token in self.live(labeler_id)
        )

    def identities(self, labeler_id: str) -> list[LabelerToken]:
        """Return the identities somebody ever had, those that were revoked among them."""
        return [token for token in self.tokens_of(labeler_id) if token.kind == "identity"]

    def opened_by(self, labeler_id: str, ways_in: Collection[LabelerToken]) -> list[LabelerToken]:
        """Return the sessions of somebody that some links or identities opened."""
        names = {token.token_sha256 for token in ways_in}
        return [token for token in self.tokens_of(labeler_id) if token.opened_by in names]

    def alike(self, name: str) -> list[str]:
        """Return the names, of people ever let in, that differ from this one in case at most."""
        return [other for other in self._tokens_of if other.casefold() == name.casefold()]

    def use(self, token: LabelerToken) -> None:
        """Note that somebody came by it now."""
        self._used_at[token.token_sha256] = self._clock()

    def used_at(self, token: LabelerToken) -> float | None:
        """Return when a token or session was last used; None: not since this process began."""
        return self._used_at.get(token.token_sha256)

    def admit(self, labeler_id: str) -> None:
        """Count one request. Raises TooFast(message, seconds to wait) above the rate."""
        now = self._clock()
        bucket = self._buckets.setdefault(labeler_id, _Bucket(float(self._burst), now))
        refilled = bucket.level + max(0.0, now - bucket.filled_at) * self._per_s
        bucket.level = min(float(self._burst), refilled)
        bucket.filled_at = now
        if bucket.level < 1.0:
            self.num_refused[labeler_id] += 1
            wait_s = math.ceil((1.0 - bucket.level) / self._per_s)
            raise TooFast(f"more than {self._per_s:g} requests a second: wait {wait_s} s", wait_s)
        bucket.level -= 1.0

    def is_void(self, token: LabelerToken) -> bool:
        """Say whether a token no longer counts: revoked, over, or a session left alone."""
        is_over = token.expires_at is not None and token.expires_at <= self._clock()
        return is_over or self._is_unused(token) or token.token_sha256 in self._revoked

    def _is_labelers(self, token: LabelerToken) -> bool:
        return self.role(token) == "labeler"

    def _is_unused(self, token: LabelerToken) -> bool:
        """Whether a session was left alone for so long that it has ended."""
        if token.kind != "session":
            return False
        known_at = max(token.created_at, self._began_at)
        used_at = self._used_at.get(token.token_sha256, known_at)
        return used_at + self._session_ttl_s <= self._clock()
