"""Which segments a folder holds: one numbering for all streams, so that the oldest is known."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from cluster.recordings.crossings import StreamName
from cluster.recordings.segments import LIVE, SEALED, SegmentWriter, read_segment

FOLDER = "crossings"
"""Folder of the segments, in a run's folder of recordings."""
_NAME = re.compile(rf"(\d+)-([a-z]+){re.escape(SEALED)}({re.escape(LIVE)})?")


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentFile:
    """One segment of a stream, e.g. `000012-batches.mcap`."""

    folder: Path
    number: int
    """From 1, in the order in which segments were begun."""
    stream: StreamName
    is_live: bool = False
    """Whether it is still being written, or was when its writer was killed."""

    @property
    def path(self) -> Path:
        """Where it lies."""
        mark = LIVE if self.is_live else ""
        return self.folder / f"{self.number:06d}-{self.stream}{SEALED}{mark}"


def segment_files(folder: Path) -> list[SegmentFile]:
    """Return the segments of a folder, the oldest first; none if there is no folder.

    Of one that was sealed by a process which was killed before it could remove the live file, the
    sealed one: both say the same.
    """
    files = _all_files(folder)
    sealed = {file.number for file in files if not file.is_live}
    return [file for file in files if not (file.is_live and file.number in sealed)]


def seal_left(folder: Path) -> None:
    """Seal all live segments, which nobody writes any more; see `reseal`."""
    for file in _all_files(folder):
        if file.is_live:
            reseal(file)


def _all_files(folder: Path) -> list[SegmentFile]:
    matches = [match for path in folder.glob("*") if (match := _NAME.fullmatch(path.name))]
    files = [
        SegmentFile(
            folder=folder,
            number=int(match[1]),
            stream=cast(StreamName, match[2]),
            is_live=match[3] is not None,
        )
        for match in matches
    ]
    return sorted(files, key=lambda file: file.number)


def reseal(file: SegmentFile) -> None:
    """Seal a live segment that nobody writes any more, without its torn tail.

    Raises:
        BundleCorrupt: It is damaged elsewhere; it stays as it is.
        OSError: The disk refuses.
    """
    sealed = SegmentFile(folder=file.folder, number=file.number, stream=file.stream)
    draft = file.folder / f".{sealed.path.name}"
    draft.with_name(draft.name + LIVE).unlink(missing_ok=True)
    writer = SegmentWriter(draft)
    for message in read_segment(file.path):
        writer.add(
            message.topic,
            message.version,
            message.schema,
            sequence=message.sequence,
            at=message.at,
            content=message.content,
        )
    writer.seal()
    draft.rename(sealed.path)
    file.path.unlink()
