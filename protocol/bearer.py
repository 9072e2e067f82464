"""Bearer tokens: what is kept of one, and where that of the reward's face lies."""

from __future__ import annotations

import hashlib

REWARD_TOKEN = "_reward"
"""File among a run's tokens for that of the reward's HTTP face; no labeler can be called so."""


def token_sha256(token: str) -> str:
    """Return what is stored of a token. Tokens are long and random, so no salt is needed."""
    return hashlib.sha256(token.encode()).hexdigest()
