"""Which number goes with a name, for a million names: no object for each.

    a dictionary of texts and numbers   some 200 bytes a name
    NameIndex                           20, and some microseconds a question
    Names                               20 and the text, for whoever asks which names there are

A name stands for itself by 128 bits of its digest, and two of the same digest would be taken for
one: of a million names that is less likely than that two ids drawn at random are the same.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from typing import overload

from label_queue.kept import kept

DIGEST_BYTES = 16
NUM_BUCKETS = 1_024
"""A question goes through one of them: of a million names a thousand, in two microseconds."""


@kept("_digests", "_numbers")
class NameIndex:
    """A number for each name. May be read in any thread while one thread writes."""

    def __init__(self) -> None:
        self._digests = [bytearray() for _ in range(NUM_BUCKETS)]
        self._numbers = [array("i") for _ in range(NUM_BUCKETS)]

    def get(self, name: str) -> int | None:
        """Return a name's number, or None where it has none."""
        bucket, digest = _digest_of(name)
        place = self._place(bucket, digest)
        return None if place is None else self._numbers[bucket][place]

    def set(self, name: str, number: int) -> None:
        """Give a name a number, or another one. Raises OverflowError above 2³¹."""
        bucket, digest = _digest_of(name)
        place = self._place(bucket, digest)
        if place is None:
            # What is found has its number by then, whoever looks meanwhile.
            self._numbers[bucket].append(number)
            self._digests[bucket].extend(digest)
        else:
            self._numbers[bucket][place] = number

    def _place(self, bucket: int, digest: bytes) -> int | None:
        held = self._digests[bucket]
        start = held.find(digest)
        while start > 0 and start % DIGEST_BYTES:  # the end of one and the beginning of the next
            start = held.find(digest, start + 1)
        return None if start < 0 else start // DIGEST_BYTES


def _digest_of(name: str) -> tuple[int, bytes]:
    """Return the bucket that a name belongs to, and what stands for it there."""
    digest = blake2b(name.encode(), digest_size=DIGEST_BYTES).digest()
    return int.from_bytes(digest[:2], "big") % NUM_BUCKETS, digest


@kept("_text", "_ends", "_index")
class Names(Sequence[str]):
    """Names in the order in which they came, each once. Threads as with `NameIndex`."""

    def __init__(self) -> None:
        self._text = bytearray()
        self._ends = array("q")
        """Where in the text each name ends."""
        self._index = NameIndex()

    def append(self, name: str) -> int:
        """Add a name that was not there; return its number, which is its place."""
        number = len(self._ends)
        self._text.extend(name.encode())
        self._ends.append(len(self._text))
        self._index.set(name, number)
        return number

    def number(self, name: str) -> int | None:
        """Return the place of a name, or None where it is not there."""
        return self._index.get(name)

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> list[str]: ...
    def __getitem__(self, place: int | slice) -> str | list[str]:
        """Return a name, or some, by place. Raises IndexError."""
        if isinstance(place, slice):
            return [self[each] for each in range(*place.indices(len(self)))]
        place = range(len(self))[place]
        start = self._ends[place - 1] if place else 0
        return self._text[start : self._ends[place]].decode()

    def __contains__(self, name: object) -> bool:
        """Say whether a name is there."""
        return isinstance(name, str) and self.number(name) is not None

    def __iter__(self) -> Iterator[str]:
        """Yield the names as they came."""
        return map(self.__getitem__, range(len(self)))

    def __len__(self) -> int:
        """Return how many names there are."""
        return len(self._ends)
