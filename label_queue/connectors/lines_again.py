"""Which lines of a sweep are new, where some may have been read before."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from label_queue.connectors.port import Annotation, Deletion, Sweep, Unreadable
from label_queue.folds.read_lines import ReadLines, Recollection
from label_queue.ledger.records import DIGEST_CHARS


class SweptLines:
    """The lines of one sweep, in their order."""

    def __init__(self, recollections: Mapping[str, Recollection]) -> None:
        """Begin with none; `recollections` are of the parts that may hold lines read before."""
        self._recollections = recollections
        self._digests: dict[str, list[str]] = {}

    def is_new(self, answer: Annotation | Deletion | Unreadable) -> bool:
        """Note what was read next, and say whether it is new. What has no order always is."""
        if answer.part is None:
            return True
        digest = answer.payload_sha256[:DIGEST_CHARS]
        self._digests.setdefault(answer.part, []).append(digest)
        known = self._recollections.get(answer.part)
        return known is None or known.take(bytes.fromhex(digest))

    @property
    def digests(self) -> tuple[tuple[str, str], ...]:
        """What was read, by part, as `ConnectorOffset.lines`."""
        return tuple((part, "".join(digests)) for part, digests in self._digests.items())


class LinesAgain:
    """Recalls what was read of a source when it is begun again, and not before."""

    def __init__(self, read: Mapping[str, ReadLines]) -> None:
        """Look at what was read of each connector's source, as far as it is in the ledger."""
        self._read = read
        self._recollections: dict[tuple[str, str], Recollection] = {}
        """By connector and part, as of the last sweep, whether or not it could be written."""

    async def of(self, connector: str, sweep: Sweep) -> SweptLines:
        """Begin with the lines of a sweep, of which none was noted yet.

        What was read is gone through in a thread, and once: after that it is kept.
        """
        read = self._read[connector]
        parts = sweep.begun | {each.part for each in sweep.answers if each.part is not None}
        found: dict[str, Recollection] = {}
        for part in parts:
            if part not in sweep.begun and read.is_first_time(part):
                continue
            known = self._recollections.get((connector, part))
            if known is None or not read.is_recalled(part, known):
                known = await asyncio.to_thread(read.recollection, part)
                self._recollections[connector, part] = known
            if part in sweep.begun:
                known.begin()
            found[part] = known
        return SweptLines(found)
