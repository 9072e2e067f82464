"""Results of series that take hours: kept with the code, so that a series goes on elsewhere."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any


class KeptResults:
    """A file of results, one a line, each of the run that some of its fields name.

    A line that lacks one of these fields tells of no run that could be asked for: it is passed
    over.

    Args:
        file: JSON lines; made with the first result.
        key: Those fields.
    """

    def __init__(self, file: Path, key: tuple[str, ...]) -> None:
        self._file = file
        self._key = key
        self._writing = threading.Lock()
        lines = file.read_text().splitlines() if file.exists() else []
        self._found: dict[tuple[object, ...], dict[str, Any]] = {
            self._key_of(each): each for each in map(json.loads, lines) if each.keys() >= set(key)
        }

    def __getitem__(self, key: tuple[object, ...]) -> dict[str, Any]:
        """Return the result of such a run. Raises KeyError where there is none."""
        return self._found[key]

    def __contains__(self, key: object) -> bool:
        """Return whether the result of such a run is kept."""
        return key in self._found

    def made(self, key: tuple[object, ...], make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Return the result of such a run; where there is none, make and keep it.

        May be called in several threads, for different runs.
        """
        if key not in self._found:
            self._keep({**dict(zip(self._key, key, strict=True)), **make()})
        return self._found[key]

    def _keep(self, result: dict[str, Any]) -> None:
        with self._writing:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with self._file.open("a") as lines:
                lines.write(json.dumps(result) + "\n")
            self._found[self._key_of(result)] = result

    def _key_of(self, result: dict[str, Any]) -> tuple[object, ...]:
        return tuple(result[name] for name in self._key)
