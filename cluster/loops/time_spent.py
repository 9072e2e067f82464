"""Where the time goes: one accounting, for the live figures and for the report alike.

The learner does one thing at a time, and each is a span. Actors say how long they have been busy
whenever they are looked at. The timekeeper feeds both to the classes below while the run goes on,
and records them; the report feeds them what was recorded. So the two cannot differ.

Figures count from the moment the first PPO step began: before it everybody waits for labels.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

from cluster.recordings.records import ActorLook, Span

Doing = Literal[
    "labels", "rollouts", "scores", "reward", "passing", "cord", "step", "rollback", "down"
]
"""What the learner waits for, or does. "passing" is finding out that the cord hangs free; "down" is
the time from when a run's loops ended until they go on, its new start included."""
WORK: tuple[Doing, ...] = ("step", "rollback")
DOWN: tuple[Doing, ...] = ("down",)
STANDING: tuple[Doing, ...] = ("cord", *DOWN)
"""What nobody is idle in: the line is meant to stand, or does not run."""


class LearnerTime:
    """How long the learner was at each thing since its first PPO step began."""

    def __init__(self) -> None:
        self.since: float | None = None
        """When the first PPO step began, Unix seconds; None before it."""
        self.doing: Doing | None = None
        """What the learner does now; None between two things."""
        self.doing_since = 0.0
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._stopped_before_s = 0.0
        self._standing: list[tuple[Doing, float, float]] = []
        """At what, and from when to when the line stood, Unix seconds, in order."""

    def begin(self, doing: Doing, at: float) -> None:
        """Note that the learner begins something."""
        assert self.doing is None, f"the learner is still at {self.doing!r}"
        self.doing, self.doing_since = doing, at
        if doing == "step" and self.since is None:
            self.since = at

    def stands_at_cord(self) -> None:
        """Note that the cord is pulled: what waits to pass it stands there."""
        if self.doing == "passing":
            self.doing = "cord"

    def end(self, at: float) -> Span:
        """Note that the learner is done with what it did; return it."""
        assert self.doing is not None, "the learner did nothing"
        span = Span(doing=self.doing, started_at=self.doing_since, ended_at=at)
        if self.since is not None:
            self._seconds[span.doing] += at - span.started_at
        elif span.doing == "cord":
            self._stopped_before_s += at - span.started_at
        if self.doing in STANDING:
            self._stood(self.doing, span.started_at, at)
        self.doing = None
        return span

    def _stood(self, at_what: Doing, start: float, stop: float) -> None:
        """Take note of such a time; one that begins as the last ends goes on with it."""
        if self._standing and self._standing[-1][0] == at_what and self._standing[-1][2] == start:
            _, start, _ = self._standing.pop()
        self._standing.append((at_what, start, stop))

    def standing_s(self, start: float, stop: float, doings: Sequence[Doing] = STANDING) -> float:
        """Return for how many seconds of a window of the past nobody was idle.

        Args:
            start: When it began, Unix seconds.
            stop: When it ended.
            doings: Those of `STANDING` that count.
        """
        total = max(0.0, stop - max(start, self.doing_since)) if self.doing in doings else 0.0
        for at_what, since, until in reversed(self._standing):
            if until <= start:
                break
            if at_what in doings:
                total += max(0.0, min(until, stop) - max(since, start))
        return total

    def seconds(self, *doings: Doing, until: float) -> float:
        """Return how long it was at some of the things, the present one included, in seconds."""
        total = sum(self._seconds[each] for each in doings)
        if self.since is not None and self.doing in doings:
            total += until - self.doing_since
        return total

    def stopped_s(self, until: float) -> float:
        """Return for how many seconds it has stood at the pulled cord, ever."""
        present = self.since is None and self.doing == "cord"
        waiting_s = until - self.doing_since if present else 0.0
        return self._stopped_before_s + waiting_s + self.seconds("cord", until=until)

    def running_s(self, until: float) -> float:
        """Return the seconds since the first step began, without those that nobody is idle in."""
        assert self.since is not None, "the first step has not begun"
        return max(until - self.since - self.seconds(*STANDING, until=until), 1e-9)

    def busy(self, until: float) -> float:
        """Return the share of `running_s` in which it took steps or rolled back, in [0, 1]."""
        return min(1.0, self.seconds(*WORK, until=until) / self.running_s(until))

    @classmethod
    def replayed(cls, spans: Iterable[Span], until: float) -> LearnerTime:
        """Return the learner's time as recorded, up to a moment."""
        time = cls()
        for span in spans:
            if span.started_at < until:
                time.begin(span.doing, span.started_at)  # type: ignore[arg-type]
                time.end(min(span.ended_at, until))
        return time


@dataclass(slots=True, kw_only=True)
class ActorTotal:
    """What an actor did between two looks at it."""

    uptime_s: float = 0.0
    busy_s: float = 0.0
    num_tokens: int = 0
    running_s: float = 0.0
    """Part of `uptime_s` in which the line did not stand; see `STANDING`."""
    running_busy_s: float = 0.0
    """Part of `busy_s` in `running_s`: each look's, spread evenly over the time since the last."""

    @property
    def busy(self) -> float:
        """Share of all its time with at least one request in flight, in [0, 1]."""
        return min(1.0, self.busy_s / max(self.uptime_s, 1e-9))

    @property
    def running_busy(self) -> float:
        """Share of its running time with at least one request in flight, in [0, 1]."""
        return min(1.0, self.running_busy_s / max(self.running_s, 1e-9))


SLOW_ANSWER_S = 30.0
"""How much later than an actor said it a busy machine may take note of it, seconds. A process that
takes another's place starts later than that."""


class ActorsTime:
    """How busy the actors are, from the last look before the first PPO step began on."""

    def __init__(self) -> None:
        self._newest: dict[str, ActorLook] = {}
        self.totals: dict[str, ActorTotal] = {}
        """Totals by actor_id, since the first PPO step began; empty until there is something to
        count."""

    def look(self, look: ActorLook, learner: LearnerTime) -> ActorTotal:
        """Take a look at an actor; return what it did since the last look, or since it started.

        Args:
            look: Later than those taken of the same actor before.
            learner: Where its time went, at least up to the look: from its first PPO step on looks
                count, and while the line stands nobody is idle.
        """
        before = self._newest.get(look.actor_id)
        self._newest[look.actor_id] = look
        passed = _between(before, look)
        # A process of a run that goes on is up before its loops run, and draws nothing until then.
        down_s = learner.standing_s(look.at - passed.uptime_s, look.at, DOWN)
        passed.uptime_s = max(passed.busy_s, passed.uptime_s - down_s)
        standing_s = learner.standing_s(look.at - passed.uptime_s, look.at)
        passed.running_s = max(0.0, passed.uptime_s - standing_s)
        passed.running_busy_s = passed.busy * passed.running_s
        is_learning = learner.since is not None and look.at >= learner.since
        if is_learning and before is not None and passed.uptime_s > 0:
            total = self.totals.setdefault(look.actor_id, ActorTotal())
            total.uptime_s += passed.uptime_s
            total.busy_s += passed.busy_s
            total.num_tokens += passed.num_tokens
            total.running_s += passed.running_s
            total.running_busy_s += passed.running_busy_s
        return passed

    @property
    def busy_s(self) -> float:
        """Time with at least one request in flight, summed over the actors, in seconds."""
        return sum(total.busy_s for total in self.totals.values())

    @property
    def busy(self) -> float:
        """Mean over the actors of the share of their running time they were busy, in [0, 1]."""
        return fmean(total.running_busy for total in self.totals.values())

    @property
    def tokens_per_s(self) -> float:
        """Response tokens a second of all actors together, their idle time included."""
        return sum(total.num_tokens / total.uptime_s for total in self.totals.values())


def _between(before: ActorLook | None, look: ActorLook) -> ActorTotal:
    """Return what an actor did between two looks; of a new process all that it did.

    Its sums fell, or it started later: one that came after a short-lived one may have done more by
    its first look than that by its last.
    """
    if before is None or _is_another(before, look):
        return ActorTotal(uptime_s=look.uptime_s, busy_s=look.busy_s, num_tokens=look.num_tokens)
    return ActorTotal(
        uptime_s=look.uptime_s - before.uptime_s,
        busy_s=look.busy_s - before.busy_s,
        num_tokens=look.num_tokens - before.num_tokens,
    )


def _is_another(before: ActorLook, look: ActorLook) -> bool:
    """Whether an actor's process is another than at the look before."""
    has_fallen = (
        look.uptime_s < before.uptime_s
        or look.busy_s < before.busy_s
        or look.num_tokens < before.num_tokens
    )
    started_later_s = (look.at - look.uptime_s) - (before.at - before.uptime_s)
    return has_fallen or started_later_s > SLOW_ANSWER_S


def busy_share(spans: Sequence[Span], since: float, until: float) -> float:
    """Return the share of a window that spans cover, be it one or several at a time; in [0, 1]."""
    covered_s, end = 0.0, since
    for span in sorted(spans, key=lambda each: each.started_at):
        start, stop = max(span.started_at, end), min(span.ended_at, until)
        covered_s += max(0.0, stop - start)
        end = max(end, stop)
    return min(1.0, covered_s / max(until - since, 1e-9))


def shares(learner: LearnerTime, until: float) -> Mapping[str, float]:
    """Return what shares of its running time the learner waited, by what for; in [0, 1]."""
    waits: tuple[Doing, ...] = ("labels", "rollouts", "scores", "reward")
    running_s = learner.running_s(until)
    return {each: learner.seconds(each, until=until) / running_s for each in waits}
