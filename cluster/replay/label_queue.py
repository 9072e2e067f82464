"""The label queue alone: a fresh one over a scratch ledger is told what the run's own was told.

What people and outside tools did comes from the run's ledger, what the policy loop said from the
recording, each in its order. Compared is every fit that was ordered: kind, weights and the whole
training set.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

from cluster.config import RunConfig
from cluster.recordings.crossings import CATCH_UP, FIT, NEXT_FIT, REWARD_SERVED, SET_PROGRESS
from cluster.recordings.exchanges import Exchange
from cluster.replay.difference import ABSENT, first_difference
from cluster.replay.outcome import Outcome, Window
from cluster.replay.recording import Recording, scratch
from label_queue.ledger.records import LabelerToken, Ledger, Record, RoleChange, TokenRevocation
from label_queue.ledger.sql import SqlLedger
from label_queue.queue import LabelQueue
from protocol.fits import RewardVersion
from protocol.labels import Assignment, ComparisonQuery, LabelEvent

PATIENCE_S = 60.0
"""How long the queue may take to order a fit that is due: with many labels, some seconds."""


def replay_label_queue(recording: Recording, window: Window, tolerance: float) -> Iterator[Outcome]:
    """Order the fits again, and compare them with those recorded.

    Versions are those of the reward: `window.first` … `window.last` are compared.

    Raises:
        MissingError: Nothing was recorded, or the run's ledger is gone.
    """
    with scratch() as root, asyncio.Runner() as runner:
        past = SqlLedger.open_to_read(recording.config.labels.ledger_place(recording.folder.ledger))
        try:
            queue = _FreshQueue(recording, past, root)
            try:
                for exchange in _moves(recording):
                    version = queue.newest + 1
                    if window.is_past(version):
                        return
                    outcome = runner.run(queue.move(exchange, tolerance))
                    if outcome is not None and window.holds(version):
                        yield outcome
            finally:
                runner.run(queue.close())
        finally:
            past.close()


class _FreshQueue:
    """A label queue whose clock is set by the recording, and goes on from there."""

    def __init__(self, recording: Recording, past: Ledger, root: Path) -> None:
        self._recording = recording
        self._place = root / "ledger.sqlite"
        self._ahead_s = 0.0
        self._people = _Unwritten(past)
        self._run_id = str(recording.folder.read_state("run_id")["run_id"])
        with closing(SqlLedger.open(self._place, self._run_id)) as ledger:
            # Gold of a file is asked under its own ids: here, before the queue makes its own.
            ledger.write([query for query in past.queries() if query.purpose == "gold"])
        self._config = recording.config_at(0.0)
        self._queue = self._opened()
        self.newest = 0
        """The newest reward version so far, served or not: the next fit has the number after it."""
        self._refit: RewardVersion | None = None
        """The last refit that was caught up with."""

    async def move(self, exchange: Exchange, tolerance: float) -> Outcome | None:
        """Tell the queue what it was told; of a fit, return how it compares."""
        self._ahead_s = exchange.at - time.monotonic()
        await self._go_on_under(self._recording.config_at(exchange.at))
        loop = self._queue.policy_loop
        if exchange.crossing is SET_PROGRESS:
            await loop.set_progress(exchange.ask.episodes, exchange.ask.policy)
        elif exchange.crossing is REWARD_SERVED:
            await self._served(exchange.ask)
        elif exchange.crossing is FIT:
            self.newest = max(self.newest, exchange.answer.version)
        else:
            await self._queue.commits.write(self._people.through(exchange.answer.ledger_seq))
            if exchange.crossing is CATCH_UP:
                self._refit = exchange.ask
                self.newest = max(self.newest, exchange.ask.version)
            return await self._fit(exchange, tolerance)
        return None

    async def _go_on_under(self, config: RunConfig) -> None:
        """Open the queue anew where the run was resumed with another config, as it did."""
        if config != self._config:
            await self._queue.close()
            self._config = config
            self._queue = self._opened()

    def _opened(self) -> LabelQueue:
        return LabelQueue(
            SqlLedger.open(self._place, self._run_id),
            self._config.labels,
            self._config.label_schedule,
            run_id=self._run_id,
            seed=self._config.run.seed,
            clock=self._clock,
        )

    async def _served(self, version: RewardVersion) -> None:
        refit, loop = self._refit, self._queue.policy_loop
        if refit is not None and (refit.version, version.kind) == (version.version - 1, "warm"):
            # Queues of before noted it as they were asked for its update, and were not told again.
            await loop.reward_served(refit)
        await loop.reward_served(version)
        self.newest = max(self.newest, version.version)

    def _clock(self) -> float:
        # When an answer was recorded is later than when the queue gave it, of one more than of
        # another: a clock that stood still would never see due what is due by time.
        return time.monotonic() + self._ahead_s

    async def close(self) -> None:
        """Let go of the scratch ledger."""
        await self._queue.close()

    async def _fit(self, exchange: Exchange, tolerance: float) -> Outcome:
        loop = self._queue.policy_loop
        try:
            async with asyncio.timeout(PATIENCE_S):
                made: object
                if exchange.crossing is CATCH_UP:
                    made = await loop.catch_up(exchange.ask)
                elif exchange.answer.kind == "warm":
                    made = await loop.next_update()
                else:
                    made = await loop.next_refit()
        except TimeoutError:
            made = ABSENT
        return Outcome(
            what=f"the fit at label event {exchange.answer.ledger_seq}",
            place=exchange.place,
            difference=first_difference(exchange.answer, made, tolerance=tolerance),
        )


class _Unwritten:
    """What the run's ledger has of people, given out once, in its order."""

    def __init__(self, ledger: Ledger) -> None:
        self._events: list[LabelEvent] = ledger.events()
        self._others: list[tuple[float, Record]] = sorted(
            [
                *((it.created_at, it) for it in ledger.queries() if it.purpose != "gold"),
                *((it.created_at, it) for it in ledger.assignments()),
                *((it.created_at, it) for it in ledger.read(LabelerToken)),
                *((it.at, it) for it in ledger.read(TokenRevocation)),
                *((it.at, it) for it in ledger.read(RoleChange)),
            ],
            key=lambda pair: (pair[0], _RANK[type(pair[1])]),
        )

    def through(self, seq: int) -> Sequence[Record]:
        """Return what is new up to a label event, with all that was made before each."""
        given: list[Record] = []
        while self._events and self._events[0].seq <= seq:
            event = self._events.pop(0)
            while self._others and self._others[0][0] <= event.received_at:
                given.append(self._others.pop(0)[1])
            given.append(event)
        return given


_RANK: dict[type, int] = {
    LabelerToken: 0,
    ComparisonQuery: 1,
    Assignment: 2,
    TokenRevocation: 3,
    RoleChange: 4,
}
"""Which of two records of one moment comes first: the lower."""


def _moves(recording: Recording) -> Iterator[Exchange]:
    """Give what moves the queue towards its next fit, each order once, and what came of it."""
    last: list[object] = []
    for exchange in recording.exchanges("labels"):
        if not exchange.is_answered:
            continue
        if exchange.crossing in (NEXT_FIT, CATCH_UP):
            if exchange.answer not in (None, *last):
                last = [exchange.answer, *last[:1]]
                yield exchange
        elif exchange.crossing in (SET_PROGRESS, REWARD_SERVED, FIT):
            yield exchange
