"""Many writers, one transaction: durable writes at the price of one fsync a group."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from time import perf_counter

from label_queue.ledger.beginnings import Beginning
from label_queue.ledger.records import Ledger, Record
from label_queue.ledger.room import DiskRoom
from label_queue.percentile import percentile
from protocol.errors import DiskFull, QueueClosed, ResourceError
from protocol.fault_points import reached

APPLIED_AT_ONCE = 100
"""Records that the state takes in before others run: some five milliseconds' work."""
ACKNOWLEDGED_AT_ONCE = 8
"""Writers that go on before others run: each has half a millisecond's work, or a few."""
BEHIND = (
    "the label queue could not take in what it had written, and takes no more: it goes on from "
    "its ledger once it is started again"
)
TRIED_AGAIN_S = 1.0
"""After which the run's own records are tried again where there was no room."""


class Overtaken(Exception):  # no fault: whoever writes looks again
    """What a write rests on does not hold any more; nothing of it was written."""


@dataclass(frozen=True, slots=True)
class _Write:
    """What one writer waits for."""

    records: Sequence[Record]
    written: asyncio.Future[list[Record]]
    still: Callable[[], bool] | None
    """Says whether what it rests on holds; None: it rests on nothing."""
    begins: Collection[Beginning] = ()
    """What it is the first record of."""


class GroupCommit:
    """Gathers what comes while the disk is busy and commits it together.

    The ledger is called from one thread only. `apply` runs on the event loop, in the ledger's own
    order, after the commit and before any writer hears of it: so the state in memory is never
    ahead of the disk, and a writer that was cancelled meanwhile loses nothing. Nor may it go on
    behind the disk: where it could not take in what was written, nothing more is.

    Args:
        ledger: What is written to.
        apply: Takes a record into the state.
        room: Whether there is room for more; None: as the ledger says.
        left_behind: Told the error after which nothing more is written.
    """

    def __init__(
        self,
        ledger: Ledger,
        apply: Callable[[Record], None],
        room: DiskRoom | None = None,
        left_behind: Callable[[Exception], None] = lambda _: None,
    ) -> None:
        self._ledger = ledger
        self._left_behind = left_behind
        self._is_behind = False
        self.room = room or DiskRoom(ledger.free_bytes, 0, ledger.where)
        """Whether the disk has room for more."""
        self._apply = apply
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ledger")
        self._waiting: list[_Write] = []
        self._begun: set[Beginning] = set()
        """What is begun by those who wait, or whose group the state has not taken in."""
        self._flusher: asyncio.Task[None] | None = None
        self._is_closed = False
        self._is_settled = True
        """False: something of a group that was refused may stand in the ledger."""
        self._commit_s: deque[float] = deque(maxlen=1_000)

    async def write(
        self,
        records: Sequence[Record],
        still: Callable[[], bool] | None = None,
        begins: Collection[Beginning] = (),
    ) -> list[Record]:
        """Return what stands in the ledger under each record's key, once it is on disk.

        Args:
            records: What is written, in this order.
            still: Says whether what the records rest on holds. It is asked when the state has taken
                in all that comes before them in the ledger.
            begins: What had not begun by the state as it is. Unlike `still` it costs no commit of
                its own.

        Raises:
            Overtaken: It does not hold any more, or somebody else was about to begin the same, and
                the state has taken that in; nothing was written.
            DiskFull: There is no room, for the whole group.
            QueueClosed: The run is over.
            ResourceError: The disk refuses otherwise, or the state fell behind the ledger.
        """
        if self._is_closed:
            raise QueueClosed("the label queue is closed: the run is over")
        if not self._begun.isdisjoint(begins):
            await self._enqueue([], None, ())
            raise Overtaken
        self._begun.update(begins)
        return await self._enqueue(records, still, begins)

    def _enqueue(
        self,
        records: Sequence[Record],
        still: Callable[[], bool] | None,
        begins: Collection[Beginning],
    ) -> asyncio.Future[list[Record]]:
        future: asyncio.Future[list[Record]] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Write(records, future, still, begins))
        if self._flusher is None or self._flusher.done():
            self._flusher = asyncio.create_task(self._flush())
        return future

    async def write_patiently(self, records: Sequence[Record]) -> list[Record]:
        """Write what the run itself must have written: wait for room as long as there is none.

        Raises as `write`, but for DiskFull.
        """
        while True:
            try:
                return await self.write(records)
            except DiskFull:
                await asyncio.sleep(TRIED_AGAIN_S)

    async def _flush(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            group: list[_Write] = []
            started = perf_counter()
            try:
                if self._is_behind:
                    raise ResourceError(BEHIND)
                await self._settle(loop)
                group = self._next_group()
                if not group:
                    continue
                records = [record for each in group for record in each.records]
                written = await loop.run_in_executor(self._thread, self._ledger.write, records)
                await self._apply_all(written)
                self._begun.difference_update(*(each.begins for each in group))
                await reached("ledger.acknowledge")
                self.room.stored()
                self._commit_s.append(perf_counter() - started)
                await _acknowledge(group, written)
            except BaseException as error:
                self._is_settled = False
                if isinstance(error, DiskFull):
                    self.room.refused()
                # Nobody else can tell the writers: an unanswered one would wait for ever.
                for each in group or self._take_waiting():
                    if not each.written.done():
                        each.written.set_exception(error)
                if not isinstance(error, Exception):
                    raise

    def _next_group(self) -> list[_Write]:
        """Return what is written next: all that waits, but one alone of what rests on something.

        That one comes first, so that nothing which the state does not know comes before it.
        """
        group = [each for each in self._waiting if each.still is None]
        resting = deque(each for each in self._waiting if each.still is not None)
        while resting:
            first = resting.popleft()
            if first.still is not None and first.still():
                group = [first, *group]
                break
            self._begun.difference_update(first.begins)
            if not first.written.done():
                first.written.set_exception(Overtaken())
        self._waiting = list(resting)
        return group

    def _take_waiting(self) -> list[_Write]:
        waiting, self._waiting = self._waiting, []
        return waiting

    async def _apply_all(self, records: Sequence[Record]) -> None:
        """Apply records in order; let others run after each hundred, however many there are."""
        for number, record in enumerate(records, start=1):
            try:
                self._apply(record)
            except Exception as error:
                self._is_behind = True
                self._left_behind(error)
                raise
            if number % APPLIED_AT_ONCE == 0:
                await asyncio.sleep(0)

    async def _settle(self, loop: asyncio.AbstractEventLoop) -> None:
        """Apply what stands of groups that were refused, before anything that comes after it."""
        if not self._is_settled:
            await self._apply_all(await loop.run_in_executor(self._thread, self._ledger.settle))
            self._begun = {name for each in self._waiting for name in each.begins}
            self._is_settled = True

    @property
    def commit_p95_s(self) -> float:
        """The 95th percentile of recent commits, in seconds; 0 before the first."""
        return percentile(self._commit_s, 0.95) if self._commit_s else 0.0

    async def close(self) -> None:
        """Finish what is being written, then close the ledger. May be called twice."""
        self._is_closed = True
        if self._flusher is not None:
            await self._flusher
        self._thread.shutdown()
        self._ledger.close()


async def _acknowledge(group: Sequence[_Write], written: Sequence[Record]) -> None:
    """Give each writer what stands under its records' keys; let others run after each few."""
    start = 0
    for number, each in enumerate(group, start=1):
        if not each.written.done():
            each.written.set_result(list(written[start : start + len(each.records)]))
        start += len(each.records)
        if number % ACKNOWLEDGED_AT_ONCE == 0:
            await asyncio.sleep(0)
