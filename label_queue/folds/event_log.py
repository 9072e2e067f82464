"""All label events by number, of which only the newest are in memory; others the ledger has."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Generic, TypeVar, cast, overload

from label_queue.kept import kept
from protocol.labels import LabelEvent

MOST_HELD = 8_000
"""Events in memory where others can be read: all that the figures of a moment look back on."""
READ_AT_ONCE = 500
Reader = Callable[[Sequence[int]], Sequence[LabelEvent]]
"""Returns events that are on disk by their `seq`, rising. Called in any thread."""

E = TypeVar("E", bound=LabelEvent)


@kept("_count")
class EventLog(Sequence[LabelEvent]):
    """Events in the order of their `seq`; only added to.

    Where they can be read, none is left out: the first has the number 1. May be read in any thread
    while one thread adds.
    """

    def __init__(self, read: Reader | None = None, *, most_held: int | None = None) -> None:
        """Begin with none.

        Args:
            read: Reads events that are not in memory; None: all are.
            most_held: Events in memory where others can be read; None: 8,000. Up to twice as many
                are for a while.
        """
        self._read = read
        self._most_held = MOST_HELD if most_held is None else most_held
        self._count = 0
        self._newest: tuple[int, list[LabelEvent]] = 0, []
        """How many events came before those in memory, and these."""

    def append(self, event: LabelEvent) -> None:
        """Add the next event, which is on disk."""
        before, held = self._newest
        if self._count > before + len(held):  # of a snapshot, which has no events
            before, held = self._count, []
        held.append(event)
        self._count += 1
        if self._read is not None and len(held) > 2 * self._most_held:
            before, held = before + self._most_held, held[self._most_held :]
        self._newest = before, held

    def hold_newest(self) -> None:
        """Bring those into memory that will be asked for soon."""
        since = max(0, self._count - self._most_held)
        if self.num_held < self._count - since:
            self._newest = since, self[since:]

    @property
    def num_held(self) -> int:
        """How many are in memory."""
        return len(self._newest[1])

    @property
    def last_seq(self) -> int:
        """The newest event's number; 0 before the first."""
        if not self._count:
            return 0
        return self._count if self._read is not None else self[-1].seq

    def of(self, seq: int) -> LabelEvent:
        """Return the event of a number, where none is left out before it."""
        return self[seq - 1]

    def each(self, seqs: Iterable[int]) -> Iterator[LabelEvent]:
        """Yield the events of some numbers, in their order; those on disk are read together."""
        rest = iter(seqs)
        while some := list(islice(rest, READ_AT_ONCE)):
            yield from self._some([seq - 1 for seq in some])

    def up_to_now(self) -> EventsUpToNow:
        """Return what is here now, for another thread to go through. Copies nothing."""
        return EventsUpToNow(self, self._count)

    @overload
    def __getitem__(self, place: int) -> LabelEvent: ...
    @overload
    def __getitem__(self, place: slice) -> list[LabelEvent]: ...
    def __getitem__(self, place: int | slice) -> LabelEvent | list[LabelEvent]:
        """Return an event, or some, by place from 0. Raises IndexError."""
        if isinstance(place, slice):
            return list(self.each(each + 1 for each in range(*place.indices(self._count))))
        [event] = self._some([range(self._count)[place]])
        return event

    def __iter__(self) -> Iterator[LabelEvent]:
        """Yield the events by `seq`."""
        return self.each(range(1, self._count + 1))

    def __len__(self) -> int:
        """Return how many there are."""
        return self._count

    def _some(self, places: Sequence[int]) -> list[LabelEvent]:
        before, held = self._newest
        in_memory = range(before, before + len(held))
        missing = sorted({place + 1 for place in places if place not in in_memory})
        if not missing:
            return [held[place - before] for place in places]
        assert self._read is not None, "where nothing can be read all is held"
        read = dict(zip(missing, self._read(missing), strict=True))
        return [held[place - before] if place in in_memory else read[place + 1] for place in places]


class EventsUpToNow(Sequence[LabelEvent]):
    """What a log of label events held at one moment. No copy."""

    def __init__(self, log: EventLog, count: int) -> None:
        self._log = log
        self._count = count

    def each(self, seqs: Iterable[int]) -> Iterator[LabelEvent]:
        """Yield the events of some numbers, in their order; see `EventLog.each`."""
        return self._log.each(seqs)

    @overload
    def __getitem__(self, place: int) -> LabelEvent: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[LabelEvent]: ...
    def __getitem__(self, place: int | slice) -> LabelEvent | Sequence[LabelEvent]:
        """Return an event, or some, by place. Raises IndexError."""
        if isinstance(place, slice):
            return list(self.each(each + 1 for each in range(*place.indices(self._count))))
        return self._log[range(self._count)[place]]

    def __iter__(self) -> Iterator[LabelEvent]:
        """Yield the events by `seq`."""
        return self.each(range(1, self._count + 1))

    def __len__(self) -> int:
        """Return how many there were."""
        return self._count


class Picked(Sequence[E], Generic[E]):
    """Some events of a log, by their numbers: read when they are asked for. Not to be changed."""

    def __init__(self, log: EventLog, seqs: array[int]) -> None:
        """Take their numbers, rising; those that are added to them later are seen."""
        self._log = log
        self.seqs = seqs

    @overload
    def __getitem__(self, place: int) -> E: ...
    @overload
    def __getitem__(self, place: slice) -> list[E]: ...
    def __getitem__(self, place: int | slice) -> E | list[E]:
        """Return an event, or some, by place. Raises IndexError."""
        if isinstance(place, slice):
            return cast(list[E], list(self._log.each(self.seqs[place])))
        return cast(E, self._log.of(self.seqs[place]))

    def __iter__(self) -> Iterator[E]:
        """Yield the events, oldest first."""
        return cast(Iterator[E], self._log.each(self.seqs))

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.seqs)
