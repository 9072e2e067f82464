"""What a run's config says of parts that fall away."""

from __future__ import annotations

from pydantic import Field

from protocol.settings import Seconds, Settings


class RestartsConfig(Settings):
    """How often a part is started again, and how long it may be silent."""

    max_restarts: int = Field(default=10, ge=0, le=1_000_000)
    """How often one part may be started again within `window_s`; once more, and the run ends with
    the first cause. 0: the first death of a part ends the run."""
    window_s: Seconds = 3600.0
    """The time in which `max_restarts` are counted."""
    first_pause_s: Seconds = 1.0
    """Longest pause before the first restart within the window; it doubles from one to the next."""
    longest_pause_s: Seconds = 60.0
    """Longest pause before any restart."""
    rollout_timeout_s: Seconds = 600.0
    """After how long an actor that gives no answer to a call is taken for dead: longer than all
    the responses take that wait in its queue, and well below the half hour after which a run
    that waits for them gives up."""
    step_timeout_s: Seconds = 3600.0
    """After how long a learner that does not end a step, or its start, is taken for dead."""
    fit_timeout_s: Seconds = 14_400.0
    """After how long a reward trainer that does not end its fit is taken for dead."""
    silence_timeout_s: Seconds = 300.0
    """After how long a part that Ray starts again is taken for dead that gives no sign of life:
    label queue, intake, metrics hub, reward announcer, the reward's face, folder keeper."""
