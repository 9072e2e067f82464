"""The run's stopwatches: who is at what, since when and for how long, and on record."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Literal

from cluster.loops.activity import LoopState
from cluster.loops.time_spent import ActorsTime, Doing, LearnerTime
from cluster.recordings.records import ActorLook, Span
from cluster.recordings.streams import ACTORS, FITS, LEARNER, Recordings
from protocol.cord import CordState
from protocol.fits import FitKind
from protocol.messages import ActorStats

Wait = Literal["labels", "rollouts", "scores", "reward", "cord"]


class Timekeeper:
    """Times the learner, the reward trainer and the actors.

    Args:
        recordings: Where spans and looks go.
        now: The clock, Unix seconds; while this is used it only rises.
        began_at: When the run began, Unix seconds; None: now.
    """

    def __init__(
        self, recordings: Recordings, now: Callable[[], float], began_at: float | None
    ) -> None:
        self._recordings = recordings
        self._now = now
        self._behind_s = 0.0
        """By how much the clock is behind what it was before the run was resumed."""
        self._began_at = now() if began_at is None else began_at
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._fits: list[FitKind] = []
        self._has_reward = False
        self._ended_at: float | None = None
        self.learner = LearnerTime()
        self.actors = ActorsTime()
        self.cord = CordState(is_pulled=False)
        """How the cord hangs, as last told."""

    def _moment(self) -> float:
        """Return the moment, Unix seconds, later than all on record."""
        return self._now() + self._behind_s

    @property
    def wall_s(self) -> float:
        """Seconds since the run began."""
        return self._moment() - self._began_at

    @property
    def until(self) -> float:
        """The moment until which time counts, Unix seconds: now, or when the loops ended."""
        return self._ended_at or self._moment()

    @property
    def is_learning(self) -> bool:
        """Whether the first PPO step has begun."""
        return self.learner.since is not None

    @property
    def stopped_s(self) -> float:
        """How long the learner has stood at the pulled cord, this time included, in seconds."""
        return self.learner.stopped_s(until=self._moment())

    def total_s(self, what: str) -> float:
        """Return how long a thing that `timing` times has taken so far, in seconds."""
        return self._seconds[what]

    def resume(self, ended_at: float, timed_s: Mapping[str, float]) -> None:
        """Go on with the times on record; nobody works from `ended_at` on until the loops run.

        Args:
            ended_at: When the run was interrupted, Unix seconds, as well as it is known. Of loops
                that ended in order it is on record.
            timed_s: What `timing` had counted of each thing, in seconds.
        """
        self._seconds.update(timed_s)
        spans = self._recordings.read(LEARNER)
        has_ended_in_order = bool(spans) and spans[-1].doing == "down"
        heard_of_at = ended_at
        ended_at = max([0.0 if has_ended_in_order else ended_at, *(s.ended_at for s in spans)])
        # The clock may have been set back meanwhile; what was done before is not undone by that.
        self._behind_s = max(0.0, heard_of_at - self._moment(), ended_at - self._moment())
        now = self._moment()
        self.learner = LearnerTime.replayed(spans, until=now)
        self.learner.begin("down", ended_at)
        for look in self._recordings.read(ACTORS):
            self.actors.look(look, self.learner)

    @contextmanager
    def waiting(self, what: Wait) -> Iterator[None]:
        """Time the learner waiting, e.g. for "labels"; at the cord only while that is pulled."""
        with self._timed("passing" if what == "cord" and not self.cord.is_pulled else what):
            yield

    @contextmanager
    def learning(self) -> Iterator[None]:
        """Time the learner at a PPO step; all figures of time count from the first one on."""
        with self._timed("step"):
            yield

    @contextmanager
    def rolling_back(self) -> Iterator[None]:
        """Time the learner at restoring an older version."""
        with self._timed("rollback"):
            yield

    @contextmanager
    def _timed(self, doing: Doing) -> Iterator[None]:
        if self.learner.doing == "down":  # the first thing since the run goes on
            self._record(self.learner.end(self._moment()))
        self.learner.begin(doing, self._moment())
        try:
            yield
        finally:
            self._record(self.learner.end(self._moment()))

    def _record(self, span: Span) -> None:
        if span.doing != "passing":
            self._recordings.write(LEARNER, span)

    @contextmanager
    def fitting(self, kind: FitKind) -> Iterator[None]:
        """Time the reward trainer at a fit."""
        started_at = self._moment()
        self._fits.append(kind)
        try:
            yield
        finally:
            self._fits.remove(kind)
            span = Span(doing=kind, started_at=started_at, ended_at=self._moment())
            self._recordings.write(FITS, span)

    @contextmanager
    def timing(self, what: str) -> Iterator[None]:
        """Add the time spent inside to a named total, e.g. "weight_sync"."""
        started_at = self._moment()
        try:
            yield
        finally:
            self._seconds[what] += self._moment() - started_at

    def reward_served(self) -> None:
        """Take note that rollouts can be scored from here on."""
        self._has_reward = True

    def loops_ended(self) -> None:
        """Take note that the last step is done: what is waited for from here on is no idleness."""
        self._ended_at = self._moment()
        if self.learner.doing is None:
            # A run that is resumed was down from here on: the saving of its policy is no idleness.
            self._record(Span(doing="down", started_at=self._ended_at, ended_at=self._ended_at))

    def loop_state(self) -> LoopState:
        """Return what the loops are doing now."""
        return LoopState(
            learner=None if self.learner.doing == "down" else self.learner.doing,
            learner_for_s=self._moment() - self.learner.doing_since,
            is_learning=self.is_learning,
            has_reward=self._has_reward,
            fit=self._fits[0] if self._fits else None,  # the longest under way
            is_cord_pulled=self.cord.is_pulled,
        )

    def cord_stood(self, cord: CordState) -> None:
        """Take note of how the cord hangs: who waits to pass a pulled one stands there."""
        self.cord = cord
        if cord.is_pulled:
            self.learner.stands_at_cord()
        if self.learner.doing == "cord":
            # On record as it passes: a report may be asked for while the line stands.
            now = self._moment()
            self._record(self.learner.end(now))
            self.learner.begin("cord", now)

    def actors_stood(self, stats: Sequence[ActorStats]) -> None:
        """Take note of what the actors said of themselves, while there was work for them."""
        if self._ended_at is not None:
            return
        now = self._moment()
        for each in stats:
            look = ActorLook(
                actor_id=each.actor_id,
                at=now,
                uptime_s=each.uptime_s,
                busy_s=each.busy_s,
                num_tokens=each.num_tokens,
            )
            self.actors.look(look, self.learner)
            self._recordings.write(ACTORS, look)
