"""When the policy loop is asked for drafts, and when it may take a step: all that modes differ in.

online, offline, fixed   `Stream`: l(n) + ahead labels stay asked for, more where more people
                         are at work, and a step is taken once l(n) have come
batched                  `Rounds`: a round opens with the policy that has just begun it, asks
                         that one alone, and closes once its l(n) labels were learned
"""

from __future__ import annotations

from typing import Protocol

from label_queue.config import LabelsConfig
from label_queue.schedule import LabelSchedule
from label_queue.state import LabelState


class Pace(Protocol):
    """What the asker asks about the schedule."""

    def lacking(self, asked: int, at_work: int) -> int:
        """Return how many more answers to ask for now.

        Args:
            asked: Answers that came, or are asked for.
            at_work: Tasks that keep all labelers at work until others come.
        """
        ...

    def may_step(self, episodes: int) -> bool:
        """Say whether the labels allow a step at n = `episodes`."""
        ...

    @property
    def policy_to_ask(self) -> int:
        """The policy version that drafts come from, or a newer one."""
        ...


def pace_of(config: LabelsConfig, schedule: LabelSchedule, state: LabelState) -> Pace:
    """Return the pace of a schedule."""
    if schedule.num_rounds is None:
        return Stream(config, schedule, state)
    return Rounds(schedule, state)


class Stream:
    """Labels and training go on side by side."""

    def __init__(self, config: LabelsConfig, schedule: LabelSchedule, state: LabelState) -> None:
        self._config = config
        self._schedule = schedule
        self._state = state

    def lacking(self, asked: int, at_work: int) -> int:
        """Return what l(n) + ahead lacks, or l(n) + `at_work`; few at a time are left to gather."""
        ahead = max(self._config.ahead, at_work)
        left = self._schedule.total - asked
        lacking = min(self._schedule.wanted(self._state.episodes) + ahead - asked, left)
        # Never more than `ahead`, or the learner could wait for labels nobody was asked for.
        gather = max(1, self._config.ahead // 8)
        return lacking if lacking >= min(gather, left) else 0

    def may_step(self, episodes: int) -> bool:
        """Say whether l(n) labels have come; half of those after N₀, or N₀, will do if so set."""
        initial = self._schedule.initial
        after = self._schedule.wanted(episodes) - initial
        will_do = {"wait": after, "slow": after // 2, "continue": 0}[self._config.when_starved]
        return self._state.history.num_preferences >= initial + will_do

    @property
    def policy_to_ask(self) -> int:
        """Whatever the actors hold: they are never more than a load behind."""
        return 0


class Rounds:
    """Labels and training take turns.

    A round is open from its first policy on until a step is taken. So what is taken back during the
    stretch of training that follows is made up for in the next round, and never of a policy that
    was trained on in between.
    """

    def __init__(self, schedule: LabelSchedule, state: LabelState) -> None:
        self._schedule = schedule
        self._state = state

    def lacking(self, asked: int, at_work: int) -> int:
        """Return what an open round's l(n) lacks; nothing between rounds."""
        episodes = self._state.episodes
        if not self._is_open(episodes):
            return 0
        return max(0, self._schedule.wanted(episodes) - asked)

    def may_step(self, episodes: int) -> bool:
        """Say whether the round's labels have come and are learned, or it closed before."""
        if not self._is_open(episodes):
            return True
        has_labels = self._state.history.num_preferences >= self._schedule.wanted(episodes)
        points = self._schedule.refit_points
        num_due = points.index(self._schedule.wanted(episodes)) + 1
        return has_labels and self._state.points_learned >= num_due

    @property
    def policy_to_ask(self) -> int:
        """The newest: while a round is open no other is made, but by a rollback."""
        return self._state.policy_version

    def _is_open(self, episodes: int) -> bool:
        """Say whether no step was taken since the round of n = `episodes` began."""
        first = self._schedule.first_episode(self._schedule.round_at(episodes))
        before = (0, *(policy.episodes for policy in self._state.policies.values()))
        return not any(first <= each < episodes for each in before)
