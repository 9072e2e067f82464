"""The stream of labels against its schedule, over time."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate

from protocol.fits import Comparison
from protocol.labels import LabelEvent, PolicyProvenance


def received_times(events: Iterable[LabelEvent], dataset: Iterable[Comparison]) -> list[float]:
    """Return when the labels of a training set came, rising, Unix seconds.

    These are what counts toward l(n): no gold, repeats, skips, or labels held or excluded.
    """
    received_at = {event.seq: event.received_at for event in events}
    return sorted(received_at[each.seq] for each in dataset)


def episodes_at(policies: Iterable[PolicyProvenance], times: Iterable[float]) -> list[int]:
    """Return n of l(n) at each time: the episodes trained by then. A rollback takes none back."""
    rising = sorted(policies, key=lambda policy: policy.created_at)
    made_at = [policy.created_at for policy in rising]
    episodes: Sequence[int] = [0, *accumulate((policy.episodes for policy in rising), max)]
    return [episodes[bisect_right(made_at, time)] for time in times]
