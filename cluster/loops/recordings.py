"""What crossed a process, one JSON object a line: the raw material of the report and of replays."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO


class Recordings:
    """Append-only JSONL streams under `recordings/`, each line flushed as it is written.

    Args:
        folder: Where the streams lie; one file a stream.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, TextIO] = {}

    def write(self, stream: str, record: Mapping[str, object]) -> None:
        """Append one record to a stream, e.g. "rollouts"."""
        if stream not in self._files:
            self._files[stream] = (self._folder / f"{stream}.jsonl").open("a", encoding="utf-8")
        file = self._files[stream]
        file.write(json.dumps(record, ensure_ascii=False) + "\n")
        file.flush()

    def close(self) -> None:
        """Close all streams."""
        for file in self._files.values():
            file.close()
        self._files.clear()
