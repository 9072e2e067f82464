"""Parts that have one device in turns: while one is at work, the others have given its memory back.

    engines at work ─▶ all answered ─▶ engines rest ─▶ learner wakes ─▶ learner at work
          ▲                                                                  │
          └── weights, then cache, wake ◀── learner rests ◀── done, engines asked ┘

Nobody says when: a part that is asked for something gets the turn as soon as whoever has it is
done, and keeps it until another is asked. So a turn outlasts a call that failed, and what mends the
failure needs no other turn; and while no step is taken, as under a pulled cord, engines are free to
draw what people compare.

A turn that was cut short, by an error or a cancellation, is nobody's: the next begins by putting
all others to rest, and to rest and to wake may be asked twice.
"""

from __future__ import annotations

from label_queue.signals import Change
from protocol.messages import ExperienceBatch, PolicyVersion, StepReport
from protocol.ports import RestingLearner, Rests


class Turns:
    """Who has the device. Parts join before anybody is asked for anything."""

    def __init__(self) -> None:
        self._turns: list[Turn] = []
        self._holder: Turn | None = None
        self._num_inside = 0
        """Calls at work, of whoever has the device."""
        self._is_passing = False
        self._change = Change()

    def join(self, part: Rests) -> Turn:
        """Return the turn of a part: a context manager around whatever uses the device."""
        self._turns.append(Turn(self, part))
        return self._turns[-1]

    async def enter(self, turn: Turn) -> None:
        """Wait until a part may go to work, and its memory is there.

        Calls of one part go on beside each other; one that comes while another part waits is
        behind that, so that neither waits for ever.
        """
        turn.num_waiting += 1
        try:
            while not self._may_enter(turn):
                await self._change.wait()
        finally:
            turn.num_waiting -= 1
            self._change.notify()
        self._num_inside += 1
        if self._holder is turn:
            return
        self._is_passing = True
        try:
            await self._pass_to(turn)
        except BaseException:
            self._num_inside -= 1
            raise
        finally:
            self._is_passing = False
            self._change.notify()

    def leave(self) -> None:
        """Be done with one call."""
        self._num_inside -= 1
        self._change.notify()

    def _may_enter(self, turn: Turn) -> bool:
        if self._is_passing:
            return False
        if self._holder is turn:
            return not any(each.num_waiting for each in self._turns if each is not turn)
        return self._num_inside == 0

    async def _pass_to(self, turn: Turn) -> None:
        self._holder = None
        for other in self._turns:
            if other is not turn:
                await other.part.rest()
        await turn.part.wake()
        self._holder = turn


class Turn:
    """One part's: `async with turn:` around a call. Many at once; none within another."""

    def __init__(self, turns: Turns, part: Rests) -> None:
        self._turns = turns
        self.part = part
        self.num_waiting = 0
        """Calls that wait for the device."""

    async def __aenter__(self) -> None:
        await self._turns.enter(self)

    async def __aexit__(self, *_: object) -> None:
        self._turns.leave()


class LearnerInTurns:
    """A learner that has its device in turns with others.

    Args:
        learner: Does the work.
        turns: It joins them.
    """

    def __init__(self, learner: RestingLearner, turns: Turns) -> None:
        self._learner = learner
        self._turn = turns.join(learner)

    async def step(self, batch: ExperienceBatch) -> StepReport:
        """See `protocol.ports.Learner`."""
        async with self._turn:
            return await self._learner.step(batch)

    async def checkpoints(self) -> tuple[int, ...]:
        """See `protocol.ports.Learner`; of the disk alone."""
        return await self._learner.checkpoints()

    async def keep(self) -> int:
        """See `protocol.ports.Learner`."""
        async with self._turn:
            return await self._learner.keep()

    async def resume(self, version: int, publish_as: int) -> PolicyVersion:
        """See `protocol.ports.Learner`."""
        async with self._turn:
            return await self._learner.resume(version, publish_as)

    async def restore(self, version: int, step: int | None = None) -> PolicyVersion:
        """See `protocol.ports.Learner`."""
        async with self._turn:
            return await self._learner.restore(version, step)

    async def save(self, path: str) -> None:
        """See `protocol.ports.RestingLearner`."""
        async with self._turn:
            await self._learner.save(path)
