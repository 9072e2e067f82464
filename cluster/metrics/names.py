"""The catalogue: every metric there is, its step axis, its unit and what it means.

A row is a flat mapping of names to finite numbers. All its names share one step axis, and the
row carries that axis. What is not in the catalogue is rejected, so that a misspelt name fails in
a test and does not become a panel nobody looks at. `docs/METRICS.md` is generated from it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from cluster.metrics.definitions import labelling, learning, running
from cluster.metrics.definitions.section import (
    LABEL_SEQ,
    POLICY_STEP,
    REWARD_VERSION,
    WALL_S,
    Metric,
)
from protocol.errors import NotFinite

__all__ = ["AXES", "CATALOGUE", "SECTIONS", "WALL_S", "Metric", "Row", "checked"]

Row = Mapping[str, float | int | str]

AXES = {
    POLICY_STEP: (
        "versions",
        "The policy version that the row is about: steps and rollbacks make one each; 0 is ρ.",
    ),
    REWARD_VERSION: ("versions", "The reward version that the row is about, from 1."),
    LABEL_SEQ: ("events", "The ledger's newest sequence number."),
    WALL_S: ("s", "Time since the run began. Every row carries it."),
}

SECTIONS = (*learning.SECTIONS, *labelling.SECTIONS, *running.SECTIONS)


def _build() -> dict[str, Metric]:
    axes = [
        Metric(name=name, axis=name, unit=unit, meaning=meaning, when="with each row drawn by it")
        for name, (unit, meaning) in AXES.items()
    ]
    others = [metric for section in SECTIONS for metric in section.metrics]
    return {metric.name: metric for metric in (*axes, *others)}


CATALOGUE: Mapping[str, Metric] = _build()


def checked(row: Row) -> str:
    """Check a row and return the step axis its names share.

    Raises:
        ValueError: A name is unknown or kept for later, the names have different axes, the axis is
            missing, there is nothing but an axis, or a value is no number.
        NotFinite: A value is NaN or infinite.
    """
    unknown = sorted(name for name in row if name not in CATALOGUE)
    if unknown:
        raise ValueError(f"unknown metric {unknown[0]!r}; add it to cluster/metrics/definitions/")
    if later := sorted(name for name in row if not CATALOGUE[name].is_written):
        raise ValueError(f"metric {later[0]!r} is {CATALOGUE[later[0]].when}")
    axes = {CATALOGUE[name].axis for name in row if name not in AXES}
    if len(axes) != 1:
        raise ValueError(f"a row has one step axis, this one has {sorted(axes)}: {sorted(row)}")
    axis = axes.pop()
    if axis not in row:
        raise ValueError(f"a row with {sorted(row)[0]!r} must carry its step {axis!r}")
    for name, value in row.items():
        if isinstance(value, str):
            raise ValueError(f"metric {name!r} must be a number, not {value!r}")
        if not math.isfinite(value):
            raise NotFinite(f"metric {name!r} is {value}")
    return axis
