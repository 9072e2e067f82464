"""Waking whoever waits: all for a change; for one of a few things as many as there are."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Change:
    """A broadcast: `wait` returns at the next `notify`, or when the time is up.

    Check the condition, then wait, without an `await` between: no change can be missed.
    """

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self.count = 0
        """Changes so far: tells whether there was one since somebody looked."""

    def notify(self) -> None:
        """Wake everybody who waits now."""
        self.count += 1
        self._event.set()
        self._event = asyncio.Event()

    async def wait(self, timeout_s: float | None = None) -> None:
        """Return at the next change, or after `timeout_s` seconds.

        Cancelled, it is cancelled, also where a change comes at the same moment: Python 3.11's
        `asyncio.wait_for` would forget it then.
        """
        try:
            async with asyncio.timeout(timeout_s):
                await self._event.wait()
        except TimeoutError:
            return


class Place:
    """Somebody's place in a line, and the turn they have, if they have one."""

    def __init__(self, who: str, name: str = "") -> None:
        self.who = who
        self.name = name
        """By which they can be sent away; "": by none."""
        self.is_left = False
        """Whether they were: nothing is given to them any more."""
        self.tried = 0
        """The newest turn they were given."""
        self.turn: int | None = None
        """The turn they have and have not used yet."""
        self._woken: asyncio.Future[None] | None = None

    @property
    def is_waiting(self) -> bool:
        """Whether they wait, and were not woken yet."""
        return self._woken is not None and not self._woken.done()

    def wake(self, turn: int | None = None) -> None:
        """Wake them if they wait, for a turn or (None) to look again."""
        if self._woken is not None and not self._woken.done():
            self._woken.set_result(None)
            self.turn = turn
            self.tried = self.tried if turn is None else turn

    async def wait(self, timeout_s: float) -> None:
        """Return once woken, or after `timeout_s` seconds."""
        self._woken = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(timeout_s):
                await self._woken
        except TimeoutError:
            return
        finally:
            self._woken = None


class Line:
    """People who wait for one of a few things, in the order in which they came.

    As many are woken as there are things, those first who have their hands free. Whoever is woken
    for a thing that is nothing for them passes their turn on, at the latest when they leave.

    Look for a thing, then wait, without an `await` between: no turn can be missed.
    """

    def __init__(self, has_free_hands: Callable[[str], bool]) -> None:
        """Take what says of somebody whether they come first."""
        self._has_free_hands = has_free_hands
        self._places: dict[Place, None] = {}
        self._turns = 0

    @contextmanager
    def place(self, who: str, name: str = "") -> Iterator[Place]:
        """Take a place at the end for as long as the block lasts."""
        place = Place(who, name)
        self._places[place] = None
        try:
            yield place
        finally:
            del self._places[place]
            self.pass_on(place)

    def call(self, count: int) -> None:
        """Wake one for each of `count` new things; all where those are more than people."""
        for _ in range(min(count, len(self._places))):
            self._turns += 1
            self._give(self._turns)

    def call_one(self, who: str) -> None:
        """Wake somebody to look again, wherever they stand."""
        for place in self._places:
            if place.who == who:
                place.wake()

    def call_all(self) -> None:
        """Wake everybody to look again."""
        for place in self._places:
            place.wake()

    def send_away(self, name: str) -> None:
        """Have whoever took a place by this name leave it. Idempotent."""
        for place in self._places:
            if name and place.name == name:
                place.is_left = True
                place.wake()

    def pass_on(self, place: Place) -> None:
        """Give a turn that was not used to the next who has not had it."""
        turn, place.turn = place.turn, None
        if turn is not None:
            self._give(turn)

    def _give(self, turn: int) -> None:
        waiting = [each for each in self._places if each.is_waiting and each.tried < turn]
        free = (each for each in waiting if self._has_free_hands(each.who))
        chosen = next(free, waiting[0] if waiting else None)
        if chosen is not None:
            chosen.wake(turn)
