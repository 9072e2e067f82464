"""What is done about an error of a part: decided by its type, never by its message.

PartFailed          replace: the process is gone, another takes its place
  MemoryShort       … once: what was not enough twice will not be enough the third time
  DeploymentFailed  stop: Serve has tried, and says why it cannot
  SwapFailed        stop: another replica would break on the same reward version
  LabelerFailed     stop: the labeler itself says that it cannot go on
  StartFailed       stop: what was raised while a part was made would be raised again
  TooManyRestarts   stop: it was replaced again and again
  WeightsNotTaken   stop, or replace all parts: the collective is broken, and takes nothing more
  WeightsGone       stop, or replace all parts: the learner that published them is gone
TransientError      retry: the same call, of the same part
all others          stop: a user's mistake, or something that must hold and does not

What is replaced too often ends the run all the same: see `restarts.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from protocol.errors import (
    DeploymentFailed,
    LabelerFailed,
    MemoryShort,
    PartFailed,
    StartFailed,
    SwapFailed,
    TooManyRestarts,
    TransientError,
    WeightsGone,
    WeightsNotTaken,
)

_FINAL = (DeploymentFailed, LabelerFailed, StartFailed, SwapFailed, TooManyRestarts)
_FINAL_FOR_A_PART = (*_FINAL, WeightsNotTaken, WeightsGone)


class Decision(StrEnum):
    """What is done about an error."""

    RETRY = "retry"
    """Ask the same part again, with the same arguments."""
    REPLACE = "replace"
    """End what is left of the part, and start another in its place."""
    STOP = "stop"
    """End the run with this error."""


def decide(
    error: BaseException, earlier: Sequence[BaseException] = (), *, is_whole: bool = False
) -> Decision:
    """Return what is done about an error.

    Args:
        error: What a part raised, or what was raised in its name.
        earlier: For what the same part was replaced of late.
        is_whole: Whether it is all parts together that would be replaced.
    """
    final = _FINAL if is_whole else _FINAL_FOR_A_PART
    if isinstance(error, MemoryShort) and any(isinstance(each, MemoryShort) for each in earlier):
        return Decision.STOP
    if isinstance(error, PartFailed) and not isinstance(error, final):
        return Decision.REPLACE
    if isinstance(error, TransientError):
        return Decision.RETRY
    return Decision.STOP
