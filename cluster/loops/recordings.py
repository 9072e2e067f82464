"""What crossed a process, one JSON object a line: the raw material of the report and of replays."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

from protocol.files import writing

MEND = "see to the disk under the run's folder"


class Recordings:
    """Append-only JSONL streams under `recordings/`, each line flushed as it is written.

    Args:
        folder: Where the streams lie; one file a stream.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, TextIO] = {}

    def write(self, stream: str, record: Mapping[str, object]) -> None:
        """Append one record to a stream, e.g. "rollouts".

        Raises ResourceError where the disk refuses.
        """
        line = json.dumps(record, ensure_ascii=False) + "\n"
        path = self._folder / f"{stream}.jsonl"
        with writing(path, MEND):
            if stream not in self._files:
                self._files[stream] = path.open("a", encoding="utf-8")
            file = self._files[stream]
            file.write(line)
            file.flush()

    def close(self) -> None:
        """Close all streams."""
        for file in self._files.values():
            file.close()
        self._files.clear()
