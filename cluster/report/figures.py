"""The headline figures of a run, each a pure function of what was recorded."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from statistics import fmean, median
from typing import TypeVar

from cluster.report.records import FirstSampleRecord, PolicyRecord, RewardRecord
from label_queue.figures.percentile import percentile
from protocol.labels import LabelEvent

T = TypeVar("T")


def last_part(values: Sequence[T], parts: int) -> Sequence[T]:
    """Return the last of `parts` equal parts, at least one value where there is any."""
    return values[-math.ceil(len(values) / parts) :] if values else values


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """From a label's receipt to the first response sampled by a policy that learned it."""

    received_at: float
    seconds: float


def label_to_policy_latencies(
    labels: Sequence[LabelEvent],
    policies: Sequence[PolicyRecord],
    first_samples: Sequence[FirstSampleRecord],
) -> list[Latency]:
    """Return the latency of each label that states a preference and reached a sampled policy.

    A policy has learned a label once it, or a version before it, was trained on a reward that
    had. Actors may skip versions, so the first response may come from a later one.
    """
    sampled_at = {sample.version: sample.sampled_at for sample in first_samples}
    ordered = sorted(
        (p for p in policies if p.version in sampled_at), key=lambda policy: policy.version
    )
    learned = list(accumulate((policy.learned_through for policy in ordered), max))
    times = [sampled_at[policy.version] for policy in ordered]
    first_from = list(accumulate(reversed(times), min))[::-1]
    latencies = []
    for label in labels:
        at = bisect_left(learned, label.seq)
        if label.outcome in ("choice", "ranking", "tie") and at < len(ordered):
            seconds = first_from[at] - label.received_at
            latencies.append(Latency(received_at=label.received_at, seconds=seconds))
    return latencies


def first_refit_at(rewards: Sequence[RewardRecord]) -> float | None:
    """Return when the first reward fitted from scratch was served, Unix seconds."""
    return min((r.served_at for r in rewards if r.kind == "refit"), default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelerRecord:
    """How one labeler did."""

    labeler_id: str
    num_labels: int
    num_skipped: int
    num_shared: int
    """Choices on queries that another labeler also chose on, counted once a pair."""
    num_agreed: int
    """Of those, how often the other chose the same."""

    @property
    def agreement(self) -> float | None:
        """Share of pairwise agreement with the others; None where there were none."""
        return self.num_agreed / self.num_shared if self.num_shared else None


def labeler_records(labels: Sequence[LabelEvent]) -> list[LabelerRecord]:
    """Return every labeler's record, by name."""
    choices: dict[str, dict[str, str]] = {}
    for label in labels:
        if label.choice is not None:
            choices.setdefault(label.query_id, {})[label.labeler_id] = label.choice
    records = []
    for name in sorted({label.labeler_id for label in labels}):
        own = [label for label in labels if label.labeler_id == name]
        pairs = [
            given[name] == other
            for given in choices.values()
            if name in given
            for labeler, other in given.items()
            if labeler != name
        ]
        records.append(
            LabelerRecord(
                labeler_id=name,
                num_labels=len(own),
                num_skipped=sum(label.outcome == "skip" for label in own),
                num_shared=len(pairs),
                num_agreed=sum(pairs),
            )
        )
    return records


def episodes_at(policies: Sequence[PolicyRecord], time: float) -> int:
    """Return how many episodes had been trained at a time, Unix seconds."""
    past = [policy.episodes for policy in policies if policy.created_at <= time]
    return max(past, default=0)


def mean_or_none(values: Sequence[float]) -> float | None:
    """Return the mean, or None of nothing."""
    return fmean(values) if values else None


def median_or_none(values: Sequence[float]) -> float | None:
    """Return the median, or None of nothing."""
    return median(values) if values else None


def percentile_or_none(values: Sequence[float], share: float) -> float | None:
    """Return the percentile, or None of nothing."""
    return percentile(values, share) if values else None
