"""Loops that wait for what does not come: people are told, parts end the run.

For people a run waits as long as it takes. For its own parts it need not: where the learner waits
for rollouts, scores or a verdict, and for half an hour no rollout has come, no version was made and
no fit is under way, something is stuck that has not said so.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable

from cluster.loops.activity import LoopState
from protocol.errors import LoopStarved

STARVED_S = 1800.0
TOLD_AFTER_S = 600.0
"""Waiting for labels for so long is told."""
LOOK_AT = {
    "rollouts": "the rollout actors",
    "scores": "the reward service",
    "reward": "the reward trainer",
}
"""Which part has to give what the learner waits for."""


class Starvation:
    """Looks at what the learner waits for, and since when nothing else moved.

    Args:
        alert: Takes a title and a text for people.
        now: Seconds, rising.
    """

    def __init__(
        self, alert: Callable[[str, str], None], now: Callable[[], float] = time.monotonic
    ) -> None:
        self._alert = alert
        self._now = now
        self._progress: Hashable = None
        self._moved_at = now()
        self._is_told = False

    def look(self, state: LoopState, progress: Hashable) -> None:
        """Look once.

        Args:
            state: What the loops do now.
            progress: Changes whenever a part has given something.

        Raises:
            LoopStarved: The learner waits for a part that gives nothing.
        """
        if progress != self._progress or state.fit is not None or state.is_cord_pulled:
            self._progress, self._moved_at = progress, self._now()
        still_s = min(self._now() - self._moved_at, state.learner_for_s)
        self._tell_of_people(state)
        part = LOOK_AT.get(state.learner or "")
        if part is not None and state.has_reward and still_s >= STARVED_S:
            raise LoopStarved(
                f"the learning loop is starved: for {still_s / 60:.0f} minutes it has waited for "
                f"{state.learner}, and nothing has come; see the logs of {part}"
            )

    def _tell_of_people(self, state: LoopState) -> None:
        waits = state.learner == "labels" and not state.is_cord_pulled
        if not waits or state.learner_for_s < TOLD_AFTER_S:
            self._is_told = self._is_told and waits
        elif not self._is_told:
            self._is_told = True
            self._alert(
                "the run waits for labels",
                f"for {state.learner_for_s / 60:.0f} minutes no step was taken for want of labels: "
                "see who labels on the owner's page, and invite more",
            )
