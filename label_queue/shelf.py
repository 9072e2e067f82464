"""Records by id, of which only those that came or were asked for last are in memory.

What people say of a query is in the folds, so its texts and tokens are seldom asked for once it was
answered: they stay in the ledger, and are read from there. So does who had it on lease. What sort
of record it is stays known.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Generic, TypeVar

from label_queue.kept import kept
from label_queue.name_index import Names

T = TypeVar("T")

MOST_HELD = 4_000
"""Records in memory where others can be found: more than are open, and a few thousand labels' old.
A query of four responses of 75 tokens takes 5 KiB."""
FOUND_AT_ONCE = 500
Finder = Callable[[Sequence[str]], Mapping[str, T]]
"""Returns records that are on disk by their ids. Called in any thread."""


@kept("names", "_sorts", "_sort_of")
class Shelf(Mapping[str, T]):
    """Records by id, in the order in which they came; only added to.

    May be read in any thread while one thread adds: what is found twice is the same.
    """

    def __init__(
        self,
        find: Finder[T] | None = None,
        *,
        sort: Callable[[T], str] = lambda record: "",
        most_held: int | None = None,
    ) -> None:
        """Begin with none.

        Args:
            find: Finds a record that is not in memory; None: all are held.
            sort: Says what sort of record one is; there are few sorts.
            most_held: Records in memory at most, where others can be found; None: 4,000.
        """
        self.names = Names()
        """All ids, as the records came."""
        self._find = find
        self._sort = sort
        self._most_held = MOST_HELD if most_held is None else most_held
        self._sorts: list[str] = []
        self._sort_of = bytearray()
        """Each record's sort, by its place in `_sorts`."""
        self._held: dict[str, T] = {}
        """Records in memory."""
        self._oldest: deque[str] = deque()
        """Their ids, those that came into it first at the beginning."""
        self._holding = threading.Lock()

    def add(self, name: str, record: T) -> None:
        """Add a record that was not there, and that is on disk."""
        sort = self._sort(record)
        if sort not in self._sorts:
            self._sorts.append(sort)
        self._sort_of.append(self._sorts.index(sort))
        self._hold({name: record})
        self.names.append(name)

    def sort_of(self, name: str) -> str:
        """Return what sort of record one is, without reading it. Raises KeyError."""
        return self._sorts[self._sort_of[self._number(name)]]

    def read(self, names: Iterable[str]) -> dict[str, T]:
        """Return some records by id, those on disk read together. Raises KeyError."""
        found: dict[str, T] = {}
        missing = []
        for name in dict.fromkeys(names):
            record = self._held.get(name)
            if record is None:
                self._number(name)
                missing.append(name)
            else:
                found[name] = record
        for start in range(0, len(missing), FOUND_AT_ONCE):
            assert self._find is not None, "where nothing can be found all is held"
            found.update(self._find(missing[start : start + FOUND_AT_ONCE]))
        return found

    def hold(self, names: Iterable[str]) -> None:
        """Bring records into memory that will be asked for one by one soon."""
        self._hold(self.read(names))

    def since(self, count: int) -> list[str]:
        """Return the ids of those that came after the first `count`, as they came."""
        return self.names[count:]

    def up_to_now(self) -> UpToNow[T]:
        """Return what is here now, for another thread to go through. Copies nothing."""
        return UpToNow(self, len(self.names))

    def __getitem__(self, name: str) -> T:
        """Return a record. Raises KeyError."""
        record = self._held.get(name)
        if record is not None:
            return record
        found = self.read([name])
        self._hold(found)
        return found[name]

    def __contains__(self, name: object) -> bool:
        """Say whether a record is here, without reading it."""
        return name in self._held or name in self.names

    def __iter__(self) -> Iterator[str]:
        """Yield the ids, as they came."""
        return iter(self.names)

    def __len__(self) -> int:
        """Return how many records are here."""
        return len(self.names)

    @property
    def num_held(self) -> int:
        """How many are in memory."""
        return len(self._held)

    def _number(self, name: str) -> int:
        number = self.names.number(name)
        if number is None:
            raise KeyError(name)
        return number

    def _hold(self, records: Mapping[str, T]) -> None:
        """Keep records in memory, and let go of those that were kept longest."""
        with self._holding:
            for name, record in records.items():
                if name not in self._held:
                    self._held[name] = record
                    self._oldest.append(name)
            while self._find is not None and len(self._oldest) > self._most_held:
                del self._held[self._oldest.popleft()]


class UpToNow(Mapping[str, T], Generic[T]):
    """What a shelf held at one moment. A record that came later is found by its id all the same.

    What it reads is not kept in memory: whoever goes through all would leave nothing else there.
    """

    def __init__(self, shelf: Shelf[T], count: int) -> None:
        self._shelf = shelf
        self._count = count

    def read(self, names: Iterable[str]) -> dict[str, T]:
        """Return some records by id, those on disk read together. Raises KeyError."""
        return self._shelf.read(names)

    def sort_of(self, name: str) -> str:
        """Return what sort of record one is, without reading it. Raises KeyError."""
        return self._shelf.sort_of(name)

    def since(self, count: int) -> list[str]:
        """Return the ids of those that came after the first `count`, as they came."""
        return self._shelf.names[count : self._count]

    def __getitem__(self, name: str) -> T:
        """Return a record. Raises KeyError."""
        return self._shelf.read([name])[name]

    def __contains__(self, name: object) -> bool:
        """Say whether a record is on the shelf."""
        return name in self._shelf

    def __iter__(self) -> Iterator[str]:
        """Yield the ids, as they came."""
        return islice(self._shelf, self._count)

    def __len__(self) -> int:
        """Return how many records there were."""
        return self._count


def read_some(records: Mapping[str, T], names: Iterable[str]) -> Mapping[str, T]:
    """Return some records of a mapping by id: of a shelf, those on disk are read together."""
    if isinstance(records, Shelf | UpToNow):
        return records.read(names)
    return {name: records[name] for name in names}


def each_of(records: Mapping[str, T], names: Iterable[str] | None = None) -> Iterator[T]:
    """Yield the records of a mapping, or some of them, in order: of a shelf, some at a time."""
    rest = iter(records if names is None else names)
    while some := list(islice(rest, FOUND_AT_ONCE)):
        found = read_some(records, some)
        yield from (found[name] for name in some)


def names_since(records: Mapping[str, T], count: int) -> Sequence[str]:
    """Return the ids of a mapping after its first `count`: of a shelf, without going over those."""
    if isinstance(records, Shelf | UpToNow):
        return records.since(count)
    return list(islice(records, count, None))
