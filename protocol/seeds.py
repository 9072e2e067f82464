"""One seed of the user's, and those of the many parts that draw by it."""

from __future__ import annotations

import hashlib

from protocol.limits import LARGEST_SEED


def derived_seed(seed: int, purpose: str, index: int = 0) -> int:
    """Return a seed of 0 … 2³² − 1 for one of the purposes that one seed serves.

    Indices of one purpose never share a seed, however many (up to 2³²) there are.

    Args:
        seed: The user's.
        purpose: E.g. "rollouts"; streams of unlike purposes have nothing to do with each other.
        index: Of the part or step that draws.
    """
    digest = hashlib.blake2b(f"{purpose}/{seed}".encode(), digest_size=4).digest()
    return (int.from_bytes(digest, "big") + index) % (LARGEST_SEED + 1)
