"""Drift: a labeler who was good and is no more."""

from __future__ import annotations


def cusum(level: float, evidence: float) -> float:
    """Return the next level of the one-sided cumulative sum, max(0, S + evidence) (Page 1954).

    It starts at 0, and an alarm is a level at or above the threshold h, which `run_length` sets.
    With the increments of the gold test it forgets all good work that lies behind, so that it sees
    a change soon.

    Args:
        level: S before the answer.
        evidence: The answer's log-likelihood ratio of bad to good, nats.
    """
    return max(0.0, level + evidence)
