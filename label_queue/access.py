"""Who may label, and how fast."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass

from label_queue.ledger import LabelerToken
from protocol.errors import TooFast, Unauthenticated


def token_sha256(token: str) -> str:
    """Return what is stored of a token. Tokens are long and random, so no salt is needed."""
    return hashlib.sha256(token.encode()).hexdigest()


@dataclass(slots=True)
class _Bucket:
    level: float
    filled_at: float


class Access:
    """Tokens by digest, and a token bucket a labeler."""

    def __init__(self, *, per_s: float, burst: int, clock: Callable[[], float]) -> None:
        self._per_s = per_s
        self._burst = burst
        self._clock = clock
        self._tokens: dict[str, LabelerToken] = {}
        self._buckets: dict[str, _Bucket] = {}

    @property
    def labelers(self) -> set[str]:
        """Everybody with a token that still counts."""
        now = self._clock()
        return {token.labeler_id for token in self._tokens.values() if not _is_over(token, now)}

    def add(self, token: LabelerToken) -> None:
        """Let a token in."""
        self._tokens[token.token_sha256] = token

    def authenticate(self, token: str) -> str:
        """Return the labeler a token belongs to. Raises Unauthenticated."""
        known = self._tokens.get(token_sha256(token))
        if known is None:
            raise Unauthenticated("this token is not known here: ask the run's owner for one")
        if _is_over(known, self._clock()):
            raise Unauthenticated("this token has expired: ask the run's owner for a new one")
        return known.labeler_id

    def admit(self, labeler_id: str) -> None:
        """Count one request. Raises TooFast(message, seconds to wait) above the rate."""
        now = self._clock()
        bucket = self._buckets.setdefault(labeler_id, _Bucket(float(self._burst), now))
        refilled = bucket.level + max(0.0, now - bucket.filled_at) * self._per_s
        bucket.level = min(float(self._burst), refilled)
        bucket.filled_at = now
        if bucket.level < 1.0:
            wait_s = math.ceil((1.0 - bucket.level) / self._per_s)
            raise TooFast(f"more than {self._per_s:g} requests a second: wait {wait_s} s", wait_s)
        bucket.level -= 1.0


def _is_over(token: LabelerToken, now: float) -> bool:
    return token.expires_at is not None and token.expires_at <= now
