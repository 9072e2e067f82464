"""Weights in an object store, without one: references are awaited and give bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator

from protocol.messages import StoredWeights

SMALL_PIECE = 5_000
"""Bytes that the tests' model has many of."""


class Stored:
    """A reference to bytes."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.num_fetched = 0

    def __await__(self) -> Generator[None, None, bytes]:
        yield
        self.num_fetched += 1
        return self.content


def in_pieces(content: bytes, piece_bytes: int = SMALL_PIECE) -> list[bytes]:
    """Return a safetensors file as it is cut to be published."""
    begin = 8 + int.from_bytes(content[:8], "little")
    pieces = (content[i : i + piece_bytes] for i in range(begin, len(content), piece_bytes))
    return [content[:begin], *pieces]


def stored_weights(
    content: bytes,
    piece_bytes: int = SMALL_PIECE,
    put: Callable[[bytes], object] = Stored,
) -> StoredWeights:
    """Return a safetensors file as it is published, in pieces."""
    return StoredWeights(
        stored=tuple(put(piece) for piece in in_pieces(content, piece_bytes)),
        sha256=hashlib.sha256(content).hexdigest(),
        num_bytes=len(content),
    )
