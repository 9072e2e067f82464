"""Looks at every part of a run by itself, and writes down how each stands, once a second.

Each part is asked by a listener of its own, so that one that does not answer keeps nobody else from
being heard; and what the driver knows itself is written without waiting for anybody.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from cluster.loops.activity import LoopState, activity
from cluster.loops.staleness import RolloutState
from cluster.run_folder import write_json
from cluster.watching.picture import LearnerPicture, PartPicture, Picture
from protocol.errors import AndonError, ResourceError
from protocol.logs import logger_of

INTERVAL_S = 1.0
PATIENCE_S = 10.0
"""After which a question that is not answered is asked again."""

Kind = Literal["actor", "rewards", "labels"]
Ask = Callable[[], Awaitable[Mapping[str, Any]]]
_log = logger_of("inspector")


class Listener:
    """Asks one part how it stands, again and again.

    Args:
        kind: Of part.
        ask: Asks it.
        now: Unix seconds.
    """

    def __init__(self, kind: Kind, ask: Ask, now: Callable[[], float]) -> None:
        self._kind: Kind = kind
        self._ask = ask
        self._now = now
        self._answer: Mapping[str, Any] = {}
        self._heard_at: float | None = None
        self._asked_at: float | None = None
        self._error: tuple[str, float] | None = None

    async def listen(self) -> None:
        """Ask for ever, also a part that fails: whether that ends the run its loops decide."""
        while True:
            await self.hear()
            await asyncio.sleep(INTERVAL_S)

    async def hear(self) -> None:
        """Ask once. A question that was open already keeps its time."""
        self._asked_at = self._now() if self._asked_at is None else self._asked_at
        try:
            async with asyncio.timeout(PATIENCE_S):
                self._answer = await self._ask()
        except TimeoutError:
            self._error = (f"no answer within {PATIENCE_S:g} s", self._now())
        except AndonError as error:
            self._error = (f"{type(error).__name__}: {error}", self._now())
        else:
            self._heard_at, self._asked_at = self._now(), None

    def picture(self) -> PartPicture:
        """Return what is known of the part."""
        error, error_at = self._error or (None, None)
        return PartPicture(
            kind=self._kind,
            heard_at=self._heard_at,
            asked_at=self._asked_at,
            answer=dict(self._answer),
            error=error,
            error_at=error_at,
        )


class Inspector:
    """Writes `inspect.json`.

    Args:
        path: Of the file.
        loop_state: How the loops stand.
        rollouts: How many rollouts are in each state.
        latest: The last value of each metric, for the newest policy version and its episodes.
        trouble: What keeps people from labelling.
        now: Unix seconds.
    """

    def __init__(
        self,
        path: Path,
        *,
        loop_state: Callable[[], LoopState],
        rollouts: Callable[[], Counter[RolloutState]],
        latest: Callable[[], Mapping[str, float]],
        trouble: Callable[[], str],
        now: Callable[[], float] = time.time,
    ) -> None:
        self._path = path
        self._loop_state = loop_state
        self._rollouts = rollouts
        self._latest = latest
        self._trouble = trouble
        self._now = now
        self._listeners: dict[str, Listener] = {}
        self._fit_since: float | None = None
        self._cannot_write = False
        self._has_ended = False

    def listen_to(self, name: str, kind: Kind, ask: Ask) -> None:
        """Add a part; before `watch`."""
        self._listeners[name] = Listener(kind, ask, self._now)

    async def watch(self) -> None:
        """Look and write for ever."""
        async with asyncio.TaskGroup() as group:
            for listener in self._listeners.values():
                group.create_task(listener.listen())
            while True:
                self.write()
                await asyncio.sleep(INTERVAL_S)

    def end(self) -> None:
        """Write for the last time, and say so: the loops have ended."""
        self._has_ended = True
        self.write()

    def write(self) -> None:
        """Write down how all stands now. A disk that refuses ends no run: it is said once."""
        try:
            write_json(self._path, self.picture().model_dump(mode="json"))
            self._cannot_write = False
        except ResourceError as error:
            if not self._cannot_write:
                _log.warning("inspect.json cannot be written", error=str(error))
            self._cannot_write = True

    def picture(self) -> Picture:
        """Return how all stands now."""
        loop_state, now = self._loop_state(), self._now()
        if loop_state.fit is None:
            self._fit_since = None
        elif self._fit_since is None:
            self._fit_since = now
        latest, rollouts = self._latest(), self._rollouts()
        return Picture(
            at=now,
            pid=os.getpid(),
            activity=activity(loop_state),
            learner=LearnerPicture(
                doing=loop_state.learner,
                for_s=loop_state.learner_for_s if loop_state.learner is not None else 0.0,
                policy_version=int(latest.get("policy/version", 0)),
                episodes=int(latest.get("policy/episodes", 0)),
            ),
            fit=loop_state.fit,
            fit_for_s=None if self._fit_since is None else now - self._fit_since,
            has_reward=loop_state.has_reward,
            is_cord_pulled=loop_state.is_cord_pulled,
            rollouts={state: rollouts[state] for state in RolloutState},
            parts={name: each.picture() for name, each in self._listeners.items()},
            has_ended=self._has_ended,
            trouble=self._trouble(),
        )
