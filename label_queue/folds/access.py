"""Who may label, who may oversee, and how fast: tokens, links and sessions by their digests."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from label_queue.ledger.records import LabelerToken, Role, TokenRevocation
from protocol.bearer import token_sha256
from protocol.errors import TooFast, Unauthenticated


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
    """Tokens by digest, those revoked, and a token bucket a labeler.

    When a session was last used is known to this process alone: a restarted one takes its own
    beginning for it. What a session was given to live at most is in the ledger.
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
        self._revoked: set[str] = set()
        self._claimed_links: set[str] = set()
        self._buckets: dict[str, _Bucket] = {}
        self.num_refused: Counter[str] = Counter()
        """Requests refused as above the rate, by labeler, since this process began."""

    @property
    def known(self) -> set[str]:
        """Everybody who was ever let in to label."""
        return {token.labeler_id for token in self._tokens.values() if token.role == "labeler"}

    @property
    def labelers(self) -> set[str]:
        """Everybody who may label now."""
        live = (token for token in self._tokens.values() if not self._is_void(token))
        return {token.labeler_id for token in live if token.role == "labeler"}

    def add(self, token: LabelerToken) -> None:
        """Let a token in."""
        self._tokens[token.token_sha256] = token

    def revoke(self, revocation: TokenRevocation) -> None:
        """Void a token, also one that is let in later."""
        self._revoked.add(revocation.token_sha256)
        self._claimed_links.discard(revocation.token_sha256)

    def authenticate(self, token: str) -> Identity:
        """Return whose bearer token or session it is, which counts as its use.

        Raises Unauthenticated. A one-time link is none: it only opens a session.
        """
        known = self._tokens.get(token_sha256(token))
        if known is None or known.kind == "link":
            raise Unauthenticated("this token is not known here: ask the run's owner for one")
        if known.token_sha256 in self._revoked:
            raise Unauthenticated("this token was revoked: ask the run's owner for a new one")
        if self._is_void(known):
            raise Unauthenticated("this token has expired: ask the run's owner for a new one")
        if known.kind == "session":
            self._used_at[known.token_sha256] = self._clock()
        return Identity(labeler_id=known.labeler_id, role=known.role)

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
        if self._is_void(link):
            raise Unauthenticated("this link has expired: ask the run's owner for a new one")
        self._claimed_links.add(link.token_sha256)
        return link

    def give_back(self, link: LabelerToken) -> None:
        """Let a link be claimed again."""
        self._claimed_links.discard(link.token_sha256)

    def session(self, token: str) -> LabelerToken | None:
        """Return the session of a token if it counts, or None."""
        known = self._tokens.get(token_sha256(token))
        is_open = known is not None and known.kind == "session" and not self._is_void(known)
        return known if is_open else None

    def live(self, labeler_id: str | None = None, role: Role | None = None) -> list[LabelerToken]:
        """Return the tokens, links and sessions that count, of one person or in one role."""
        return [
            token
            for token in self._tokens.values()
            if not self._is_void(token)
            and labeler_id in (None, token.labeler_id)
            and role in (None, token.role)
        ]

    def knows(self, labeler_id: str) -> bool:
        """Say whether somebody was ever let in, in whatever role."""
        return any(token.labeler_id == labeler_id for token in self._tokens.values())

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

    def _is_void(self, token: LabelerToken) -> bool:
        is_over = token.expires_at is not None and token.expires_at <= self._clock()
        return is_over or self._is_unused(token) or token.token_sha256 in self._revoked

    def _is_unused(self, token: LabelerToken) -> bool:
        """Whether a session was left alone for so long that it has ended."""
        if token.kind != "session":
            return False
        known_at = max(token.created_at, self._began_at)
        used_at = self._used_at.get(token.token_sha256, known_at)
        return used_at + self._session_ttl_s <= self._clock()
