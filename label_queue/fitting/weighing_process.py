"""Reliabilities in a process of their own, which reads the ledger beside the label queue.

    queue ──▶ {"come": [7, 9], "gone": []}  …  {"gold": {"ann": [9, 1]}} ──▶ worker
    queue ◀── {"reliability": {"ann": 0.91}, "newest": {"ann": [[7, -0.4]]}} ── worker

A line a message. The worker knows from before which labels there are: it is told which have come
and gone since, by their events' numbers, and reads them and their queries from the ledger.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import suppress
from itertools import islice
from pathlib import Path

import msgspec

from label_queue.fitting.weighing import WeighingThread
from label_queue.folds.view import LedgerView
from label_queue.ledger_place import LedgerPlace
from label_queue.quality.reliability import Judgement
from protocol.errors import QueueClosed
from protocol.logs import logger_of

NUMBERS_A_LINE = 1_000
"""So many are put into words at once: what a label queue does meanwhile waits a millisecond."""
LONGEST_LINE_BYTES = 1 << 24
PATIENCE_S = 300.0
"""For an answer: one that takes longer is of a process that hangs. The first is given once it has
read all labels that there are."""


class Place(msgspec.Struct, kw_only=True):
    """Where the ledger lies: the first line."""

    file: str | None
    """The ledger's, or None: it is on a server."""
    url: str
    """The ledger's, without a password; "": it is a file."""


class Change(msgspec.Struct, kw_only=True):
    """What labels have come and gone; with `gold` the question."""

    come: list[int] = []
    gone: list[int] = []
    gold: dict[str, tuple[int, int]] | None = None
    """Right and wrong gold answers by labeler; None: more lines come before the question."""


class WeighingProcess:
    """The `Weigher` in a process of its own, which is started when it is first asked.

    One that is lost, or hangs, is started anew; where there is none to be had, this process does
    its work.

    Args:
        ledger: Where it reads.
        patience_s: Seconds for an answer.
    """

    def __init__(self, ledger: LedgerPlace, *, patience_s: float = PATIENCE_S) -> None:
        is_file = isinstance(ledger, Path)
        self._place = Place(
            file=str(ledger) if is_file else None, url="" if is_file else str(ledger)
        )
        self._patience_s = patience_s
        self._worker: asyncio.subprocess.Process | None = None
        self._known: set[int] = set()
        """Numbers of the labels' events that the worker knows."""
        self._asking = asyncio.Lock()
        self._is_closed = False
        self._instead = WeighingThread()
        self._log = logger_of("label_queue")

    async def weigh(
        self, view: LedgerView, seqs: Sequence[int], gold: Mapping[str, tuple[int, int]]
    ) -> Judgement:
        """See `Weigher.weigh`."""
        async with self._asking:
            for _ in range(2):
                try:
                    async with asyncio.timeout(self._patience_s):
                        return await self._ask(seqs, gold)
                except (OSError, EOFError, msgspec.MsgspecError) as error:
                    if self._is_closed:
                        raise QueueClosed("the label queue was closed") from error
                    self._log.warning(
                        "the process that weighs labelers was lost",
                        why=str(error) or "it did not answer in time",
                    )
                    await self._end()
                except asyncio.CancelledError:
                    await self._end()  # its answer would be taken for that to the next question
                    raise
        return await self._instead.weigh(view, seqs, gold)

    async def close(self) -> None:
        """End the process; who waits for its answer hears QueueClosed. Idempotent."""
        self._is_closed = True
        await self._end()

    async def _ask(self, seqs: Sequence[int], gold: Mapping[str, tuple[int, int]]) -> Judgement:
        worker = self._worker or await self._started()
        assert worker.stdin is not None, "it was started with pipes"
        assert worker.stdout is not None, "it was started with pipes"
        for change in self._changes(frozenset(seqs)):
            worker.stdin.write(_line(change))
            await worker.stdin.drain()
            await asyncio.sleep(0)
        worker.stdin.write(_line(Change(gold=dict(gold))))
        await worker.stdin.drain()
        said = await worker.stdout.readline()
        if not said:
            raise EOFError("it has ended")
        return msgspec.json.decode(said, type=Judgement)

    async def _started(self) -> asyncio.subprocess.Process:
        self._worker = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "label_queue.fitting.weighing_worker"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=LONGEST_LINE_BYTES,
        )
        assert self._worker.stdin is not None, "it was started with pipes"
        self._worker.stdin.write(_line(self._place))
        return self._worker

    def _changes(self, wanted: Set[int]) -> Iterator[Change]:
        """Yield what the worker must be told to know these labels, and note that it is."""
        gone, come = iter(sorted(self._known - wanted)), iter(sorted(wanted - self._known))
        self._known = set(wanted)
        while some := list(islice(gone, NUMBERS_A_LINE)):
            yield Change(gone=some)
        while some := list(islice(come, NUMBERS_A_LINE)):
            yield Change(come=some)

    async def _end(self) -> None:
        """End the process where there is one; another knows nothing."""
        worker, self._worker, self._known = self._worker, None, set()
        if worker is not None:
            with suppress(ProcessLookupError):
                worker.kill()
            await worker.wait()


def _line(message: msgspec.Struct) -> bytes:
    return msgspec.json.encode(message) + b"\n"
