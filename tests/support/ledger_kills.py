"""A ledger whose writers are killed, one after the other, at random moments and at named points.

Each writer is forked from this process, which must have one thread only, and has all its modules
already: so a kill costs milliseconds.
"""

from __future__ import annotations

import asyncio
import os
import random
import select
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from label_queue.ledger.group_commit import GroupCommit
from label_queue.ledger.sql import SqlLedger
from protocol import fault_points
from protocol.fault_points import Fault, FaultPlan
from protocol.labels import LabelEvent
from tests.support.labels import make_event, make_query
from tests.support.ledger_history import Broken, check_history, check_retries, digest

POINTS = ("ledger.before_commit", "ledger.after_commit", "ledger.acknowledge", "written")
NUM_WRITERS = 4
LONGEST_START_S = 0.08
"""About what a writer takes to open the ledger and write its first labels."""
LONGEST_AFTER_S = 0.004
"""After an acknowledgement: the way of the next few."""
LATEST_POINT = 12
LATEST_ACKNOWLEDGEMENT = 40
NUM_AGAIN = 8
"""Events that were acknowledged already, and are sent once more by the next writer."""


@dataclass(frozen=True, slots=True)
class Kill:
    """How one writer ends: at a point, or so many seconds after so many acknowledgements."""

    point: str | None
    count: int
    after_s: float

    @classmethod
    def drawn(cls, rng: random.Random) -> Kill:
        """Return one of the three kinds: a point, while starting, while writing."""
        kind = rng.randrange(3)
        if kind == 0:
            return cls(rng.choice(POINTS), rng.randint(1, LATEST_POINT), 0.0)
        if kind == 1:
            return cls(None, 0, rng.uniform(0.0, LONGEST_START_S))
        count = rng.randint(1, LATEST_ACKNOWLEDGEMENT)
        return cls(None, count, rng.uniform(0.0, LONGEST_AFTER_S))


class KilledLedger:
    """One file, and what is known of it: what was tried, what was promised, what was there.

    Args:
        path: Of the ledger; it may not be there yet.
        rng: Draws how writers end.
    """

    def __init__(self, path: Path, rng: random.Random) -> None:
        self._path = path
        self._rng = rng
        self._attempted: dict[str, LabelEvent] = {}
        self._acknowledged: dict[str, int] = {}
        self._next = 0
        self._seen = 0
        self._digest = digest([])

    def kill_one(self) -> int:
        """Have a writer write until it is killed, and check; return how many it acknowledged.

        Raises Lost, Doubled or Broken.
        """
        kill = Kill.drawn(self._rng)
        events = self._to_write()
        self._attempted.update((event.event_id, event) for event in events)
        heard = _killed_writer(self._path, events, kill)
        for event_id, seq in heard:
            if self._acknowledged.setdefault(event_id, seq) != seq:
                raise Broken(f"{event_id} was acknowledged as {seq} after it had another number")
        if self._path.exists():
            self._check()
        return len(heard)

    def check_retries(self) -> None:
        """Write everything that was ever tried once more; each is there once."""
        ledger = SqlLedger.open(self._path, "run-1")
        try:
            check_retries(ledger, self._attempted)
        finally:
            ledger.close()

    def _to_write(self) -> list[LabelEvent]:
        """Return what clients send: what they heard nothing of, some of what they did, and new."""
        unheard = [each for name, each in self._attempted.items() if name not in self._acknowledged]
        heard = sorted(self._acknowledged)
        again = self._rng.sample(heard, min(NUM_AGAIN, len(heard)))
        fresh = [
            make_event(make_query(number), f"labeler-{number % NUM_WRITERS}")
            for number in range(self._next, self._next + LATEST_ACKNOWLEDGEMENT)
        ]
        self._next += len(fresh)
        return [*unheard, *(self._attempted[name] for name in again), *fresh]

    def _check(self) -> None:
        # Every other time nobody tidies up: the next writer finds what the killed one left.
        is_tidied = self._rng.random() < 0.5
        with_nothing = self._path.stat().st_size == 0
        if is_tidied or with_nothing or not self._seen:
            ledger = SqlLedger.open(self._path, "run-1")
        else:
            ledger = SqlLedger.open_to_read(self._path)
        try:
            found = ledger.events()
        finally:
            ledger.close()
        check_history(found, self._acknowledged, self._attempted)
        if digest(found[: self._seen]) != self._digest:
            raise Broken("what was there before a kill is not the same after it")
        self._seen, self._digest = len(found), digest(found)


def _killed_writer(path: Path, events: Sequence[LabelEvent], kill: Kill) -> list[tuple[str, int]]:
    """Fork a writer and end it; return what it acknowledged."""
    ear, mouth = os.pipe()
    writer = os.fork()
    if writer == 0:
        os.close(ear)
        try:
            _write(path, events, kill, mouth)
            os.close(mouth)
            signal.pause()  # all is written: the kill comes all the same
        finally:
            os._exit(1)
    os.close(mouth)
    said = _listen(ear, 0 if kill.point else kill.count, until_end=kill.point is not None)
    if kill.point is None:
        time.sleep(kill.after_s)
    os.kill(writer, signal.SIGKILL)
    _, status = os.waitpid(writer, 0)
    said += b"".join(_read_all(ear))
    os.close(ear)
    if os.waitstatus_to_exitcode(status) != -signal.SIGKILL:
        raise Broken(f"a writer ended by itself, with status {status}: {said[-500:]!r}")
    # What was cut off was heard by nobody.
    lines = [line.split() for line in said.decode().split("\n")[:-1]]
    return [(event_id, int(seq)) for event_id, seq in lines]


def _listen(ear: int, count: int, *, until_end: bool) -> bytes:
    """Read until so many lines have come, or nothing more does: the writer is done or killed."""
    said = b""
    while until_end or said.count(b"\n") < count:
        readable, _, _ = select.select([ear], [], [], 2.0)
        chunk = os.read(ear, 65536) if readable else b""
        if not chunk:
            break
        said += chunk
    return said


def _read_all(ear: int) -> Iterator[bytes]:
    while chunk := os.read(ear, 65536):
        yield chunk


def _write(path: Path, events: Sequence[LabelEvent], kill: Kill, mouth: int) -> None:
    faults = () if kill.point is None else (Fault(point=kill.point, action="kill", at=kill.count),)
    with fault_points.planned(FaultPlan(faults=faults)):
        asyncio.run(_write_all(path, events, mouth))


async def _write_all(path: Path, events: Sequence[LabelEvent], mouth: int) -> None:
    commits = GroupCommit(SqlLedger.open(path, "run-1"), lambda record: None)

    async def write(writer: int) -> None:
        for event in events[writer::NUM_WRITERS]:
            [stored] = await commits.write([event])
            assert isinstance(stored, LabelEvent)
            os.write(mouth, f"{stored.event_id} {stored.seq}\n".encode())
            fault_points.reach("written")

    await asyncio.gather(*(write(writer) for writer in range(NUM_WRITERS)))
