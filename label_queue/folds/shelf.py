"""Records by id, of which those that nobody asks for may stay as the ledger's text.

To read all queries of a large ledger takes most of a start, and hardly any of them is asked for
before the next fit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Generic, TypeVar

T = TypeVar("T")


class Shelf(Mapping[str, T]):
    """Records by id, in the order in which they came; only added to.

    May be read in any thread while one thread adds: what is read from its text twice is the same.
    """

    def __init__(self, read: Callable[[str], T] | None = None) -> None:
        """Take what makes a record of its text, where any are put down as text."""
        self._read = read
        self._records: dict[str, T | str] = {}
        self._names: list[str] = []

    def add(self, name: str, record: T) -> None:
        """Add a record that was not there."""
        self._records[name] = record
        self._names.append(name)

    def put_down(self, name: str, text: str) -> None:
        """Add a record that was not there, as its text: it is read when it is asked for."""
        self._records[name] = text
        self._names.append(name)

    def up_to_now(self) -> UpToNow[T]:
        """Return what is here now, for another thread to go through. Copies nothing."""
        return UpToNow(self, len(self._names))

    def __getitem__(self, name: str) -> T:
        """Return a record. Raises KeyError."""
        record = self._records[name]
        if isinstance(record, str):
            assert self._read is not None, "nothing is put down where nothing can read it"
            record = self._records[name] = self._read(record)
        return record

    def __contains__(self, name: object) -> bool:
        """Say whether a record is here, without reading it."""
        return name in self._records

    def __iter__(self) -> Iterator[str]:
        """Yield the ids, as they came."""
        return iter(self._names)

    def __len__(self) -> int:
        """Return how many records are here."""
        return len(self._names)


class UpToNow(Mapping[str, T], Generic[T]):
    """What a shelf held at one moment. A record that came later is found by its id all the same."""

    def __init__(self, shelf: Shelf[T], count: int) -> None:
        self._shelf = shelf
        self._count = count

    def __getitem__(self, name: str) -> T:
        """Return a record. Raises KeyError."""
        return self._shelf[name]

    def __contains__(self, name: object) -> bool:
        """Say whether a record is on the shelf."""
        return name in self._shelf

    def __iter__(self) -> Iterator[str]:
        """Yield the ids, as they came."""
        return islice(self._shelf, self._count)

    def __len__(self) -> int:
        """Return how many records there were."""
        return self._count
