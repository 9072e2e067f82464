"""All label events by number, of which only the newest are in memory; others the ledger has."""

from __future__ import annotations

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
            self._newest = since, list(self[since:])

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
        [event] = self._some([seq])
        return event

    def each(self, seqs: Iterable[int]) -> Iterator[LabelEvent]:
        """Yield the events of some numbers, in their order; those on disk are read together."""
        rest = iter(seqs)
        while some := list(islice(rest, READ_AT_ONCE)):
            yield from self._some(some)

    def up_to_now(self) -> Picked[LabelEvent]:
        """Return what is here now, for another thread to go through. Copies nothing."""
        return Picked(self, range(1, self._count + 1))

    @overload
    def __getitem__(self, place: int) -> LabelEvent: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[LabelEvent]: ...
    def __getitem__(self, place: int | slice) -> LabelEvent | Sequence[LabelEvent]:
        """Return an event, or some, by place from 0. Raises IndexError."""
        return self.up_to_now()[place]

    def __iter__(self) -> Iterator[LabelEvent]:
        """Yield the events by `seq`."""
        return iter(self.up_to_now())

    def __len__(self) -> int:
        """Return how many there are."""
        return self._count

    def _some(self, seqs: Sequence[int]) -> list[LabelEvent]:
        before, held = self._newest
        in_memory = range(before + 1, before + 1 + len(held))
        missing = sorted({seq for seq in seqs if seq not in in_memory})
        read: dict[int, LabelEvent] = {}
        if missing:
            assert self._read is not None, "where nothing can be read all is held"
            read = dict(zip(missing, self._read(missing), strict=True))
        return [read[seq] if seq in read else held[seq - in_memory.start] for seq in seqs]


class Picked(Sequence[E], Generic[E]):
    """Some events of a log, by their numbers: read when they are asked for. Not to be changed."""

    def __init__(self, log: EventLog, seqs: Sequence[int]) -> None:
        """Take their numbers, rising; those that are added to them later are seen."""
        self._log = log
        self.seqs = seqs

    def each(self, seqs: Iterable[int]) -> Iterator[LabelEvent]:
        """Yield the events of some numbers of the log's; see `EventLog.each`."""
        return self._log.each(seqs)

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
