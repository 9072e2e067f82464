"""The lines that were read of sources which have an order, each known by its digest and its turn.

A file that is replaced or truncated is read from its beginning again, and so is a stream that was
made anew. A line that comes as often as it came before says nothing new:

    read before    a  deleted  b
    read again     a  deleted  b  deleted  a      the last two are new

Where the first line is one that was never read, the source is another: all of it is new. What was
read by versions of Andon that kept no digests is not known.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from label_queue.ledger.records import DIGEST_CHARS, ConnectorOffset

DIGEST_BYTES = DIGEST_CHARS // 2


class Recollection:
    """How often each line of a part came: ever, and since it was read from its beginning again."""

    def __init__(self) -> None:
        self.num_lines = 0
        """Lines taken."""
        self.num_begun = 0
        """How often the part was begun again."""
        self._ever: Counter[bytes] = Counter()
        self._again: Counter[bytes] | None = None
        """None: the part is read for the first time."""
        self._is_at_beginning = False

    def begin(self) -> None:
        """Say that the next line is the first one of the part."""
        self.num_begun += 1
        self._is_at_beginning = True

    def take(self, digest: bytes) -> bool:
        """Take the next line; return whether it is new."""
        self.num_lines += 1
        if self._is_at_beginning:
            self._is_at_beginning = False
            self._again = Counter() if digest in self._ever else None
            if self._again is None:
                self._ever.clear()
        if self._again is None:
            self._ever[digest] += 1
            return True
        self._again[digest] += 1
        is_new = self._again[digest] > self._ever[digest]
        if is_new:
            self._ever[digest] += 1
        return is_new


@dataclass(slots=True)
class _Part:
    digests: bytearray = field(default_factory=bytearray)
    """All lines, as they were read."""
    begun_at: list[int] = field(default_factory=list)
    """How many lines had been read each time it was begun again."""


class ReadLines:
    """A fold over how far one source was read: eight bytes a line."""

    def __init__(self) -> None:
        self._parts: dict[str, _Part] = {}

    def take(self, offset: ConnectorOffset) -> None:
        """Take in what was read with an offset."""
        for name in offset.begun:
            part = self._parts.setdefault(name, _Part())
            part.begun_at.append(len(part.digests) // DIGEST_BYTES)
        for name, digests in offset.lines:
            self._parts.setdefault(name, _Part()).digests += bytes.fromhex(digests)

    def is_first_time(self, name: str) -> bool:
        """Say whether a part was never begun again: then each of its lines is new."""
        return name not in self._parts or not self._parts[name].begun_at

    def is_recalled(self, name: str, recollection: Recollection) -> bool:
        """Say whether a recollection is of all that was read of a part."""
        part = self._parts.get(name, _Part())
        known = recollection.num_lines, recollection.num_begun
        return known == (len(part.digests) // DIGEST_BYTES, len(part.begun_at))

    def recollection(self, name: str) -> Recollection:
        """Return how often each line of a part came, found by going through all."""
        part = self._parts.get(name, _Part())
        found, begun_at = Recollection(), iter([*part.begun_at, -1])
        begins = next(begun_at)
        for number, start in enumerate(range(0, len(part.digests), DIGEST_BYTES)):
            while begins == number:
                found.begin()
                begins = next(begun_at)
            found.take(bytes(part.digests[start : start + DIGEST_BYTES]))
        while begins >= 0:
            found.begin()
            begins = next(begun_at)
        return found
