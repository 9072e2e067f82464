"""Named points of the real system at which a test's plan may break it; without a plan, nothing.

    reach("ledger.before_commit")                            a place in the code is passed
    await reached("intake.reply")                            the same, in a coroutine
    await call("PeopleSide.submit", lambda: actor.ask(…))    a call to another process

A plan comes from the environment variable `ANDON_FAULT_PLAN`, as JSON, and so reaches every process
that a test starts; or from `planned`, in this one. Why points are in the code at all is said in
`docs/adr/0006-fault-points.md`.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from typing import Literal, Self, TypeVar, get_args

from protocol.errors import ActorDied

T = TypeVar("T")

VARIABLE = "ANDON_FAULT_PLAN"
LONGEST_DELAY_S = 60.0

Action = Literal["kill", "delay", "lose_request", "lose_answer", "duplicate", "reorder"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What happens at a point, and when."""

    point: str
    """Its name; "*" and "?" stand for any letters."""
    action: Action
    """End this process with SIGKILL; wait; lose a call on its way, or the answer to it; make a call
    twice; let the next call to the point go first. Where no call is made, both losses are one."""
    at: int = 0
    """At this passage of the point alone, counted from 1; 0: at every one."""
    chance: float = 1.0
    """Probability that it happens at a passage; drawn from the plan's seed."""
    delay_s: float = 0.05
    """How long "delay" waits, and "reorder" at most."""

    def __post_init__(self) -> None:
        if self.action not in get_args(Action):
            raise ValueError(f"action: {self.action!r} is none of {', '.join(get_args(Action))}")
        if not (self.at >= 0 and 0 <= self.chance <= 1 and 0 <= self.delay_s <= LONGEST_DELAY_S):
            raise ValueError(f"{self}: want at >= 0, chance in [0, 1], delay_s up to a minute")


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultPlan:
    """Faults of one process; the same plan breaks it alike, whatever else it does."""

    seed: int = 0
    faults: tuple[Fault, ...] = ()

    def to_json(self) -> str:
        """Return the plan as `ANDON_FAULT_PLAN` holds it."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return a plan. Raises ValueError or TypeError where the text is none."""
        content = json.loads(text)
        faults = tuple(Fault(**each) for each in content.pop("faults", ()))
        return cls(faults=faults, **content)

    @classmethod
    def from_environment(cls) -> Self | None:
        """Return the plan of `ANDON_FAULT_PLAN`, or None."""
        text = os.environ.get(VARIABLE)
        if text is None:
            return None
        plan = cls.from_json(text)
        # Nobody must take what follows for the system's own doing.
        print(f"{VARIABLE} is set: faults are made on purpose", file=sys.stderr)  # noqa: T201
        return plan


class _Faults:
    """A plan at work: counts passages and says what is due."""

    def __init__(self, plan: FaultPlan) -> None:
        self._plan = plan
        self._passages: Counter[str] = Counter()
        self._passed: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)

    def due(self, point: str) -> Fault | None:
        """Count a passage, and return the first fault that is due at it; a kill is done here."""
        self._passages[point] += 1
        number = self._passages[point]
        for index, fault in enumerate(self._plan.faults):
            drawn = random.Random(f"{self._plan.seed}/{index}/{point}/{number}").random()
            is_its_turn = fault.at in (0, number) and drawn < fault.chance
            if is_its_turn and fnmatchcase(point, fault.point):
                if fault.action == "kill":
                    os.kill(os.getpid(), signal.SIGKILL)
                return fault
        return None

    async def wait_for_next(self, point: str, timeout_s: float) -> None:
        """Return when another call to the point is over, or the time is."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._passed[point].wait()
        except TimeoutError:
            return

    def passed(self, point: str) -> None:
        """A call to the point is over."""
        self._passed.pop(point, asyncio.Event()).set()


_plan = FaultPlan.from_environment()
_active: _Faults | None = None if _plan is None else _Faults(_plan)


def reach(point: str) -> None:
    """Pass a point in code that may block: what is lost there raises ActorDied."""
    if _active is not None and (fault := _active.due(point)) is not None:
        _refuse_if_lost(fault, point)
        time.sleep(fault.delay_s)


async def reached(point: str) -> None:
    """Pass a point in a coroutine: what is lost there raises ActorDied."""
    if _active is not None and (fault := _active.due(point)) is not None:
        _refuse_if_lost(fault, point)
        await asyncio.sleep(fault.delay_s)


async def call(point: str, make: Callable[[], Awaitable[T]]) -> T:
    """Return what a call returns, which a plan may make twice, late, out of order, or in vain.

    Raises ActorDied for one whose request or answer is lost, as a process does that is gone: who
    called cannot know which.
    """
    return await make() if _active is None else await _faulty_call(_active, point, make)


async def _faulty_call(active: _Faults, point: str, make: Callable[[], Awaitable[T]]) -> T:
    fault = active.due(point)
    action = None if fault is None else fault.action
    if fault is not None and action == "delay":
        await asyncio.sleep(fault.delay_s)
    elif fault is not None and action == "reorder":
        await active.wait_for_next(point, fault.delay_s)
    elif action == "lose_request":
        raise ActorDied(f"{point}: the request was lost, as planned")
    try:
        if action == "duplicate":
            await make()
        answer = await make()
    finally:
        active.passed(point)
    if action == "lose_answer":
        raise ActorDied(f"{point}: the answer was lost, as planned")
    return answer


def _refuse_if_lost(fault: Fault, point: str) -> None:
    if fault.action in ("lose_request", "lose_answer"):
        raise ActorDied(f"{point}: lost, as planned")


@contextmanager
def planned(plan: FaultPlan) -> Iterator[None]:
    """Break this process by a plan within the `with` block."""
    global _active
    before, _active = _active, _Faults(plan)
    try:
        yield
    finally:
        _active = before
