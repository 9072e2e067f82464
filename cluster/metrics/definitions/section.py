"""What a definition says of a metric."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

POLICY_STEP = "policy/step"
REWARD_VERSION = "reward_model/version"
LABEL_SEQ = "labels/seq"
WALL_S = "time/wall_s"


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One name of the catalogue."""

    name: str
    """Prefix and name, e.g. "policy/loss"."""
    axis: str
    """The metric it is drawn against, e.g. "policy/step"; of an axis, itself."""
    unit: str
    """What it is counted in, e.g. "nats"; "1" for a ratio, a share or a plain number."""
    meaning: str
    """What is counted of what, over which population; of a share numerator and denominator."""
    when: str
    """When it is written, e.g. "each step"."""
    is_written: bool = True
    """Whether anything writes it; False for a name that is kept for later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Later:
    """Says of a definition that nothing writes the metric yet, and why."""

    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """The metrics of one prefix."""

    prefix: str
    axis: str
    intro: str
    """What holds for all metrics of the prefix."""
    metrics: tuple[Metric, ...]


def section(
    prefix: str,
    axis: str,
    when: str,
    intro: str,
    rows: Mapping[str, tuple[str, str] | tuple[str, str, str | Later]],
) -> Section:
    """Return a section.

    Args:
        prefix: Of all its names, e.g. "policy".
        axis: What they are drawn against.
        when: When they are written, unless a row says otherwise.
        intro: What holds for all of them.
        rows: By name without the prefix: unit, meaning, and where it differs when, or `Later`.
    """
    return Section(
        prefix=prefix,
        axis=axis,
        intro=intro,
        metrics=tuple(_metric(f"{prefix}/{name}", axis, when, *row) for name, row in rows.items()),
    )


def _metric(
    name: str, axis: str, usual: str, unit: str, meaning: str, when: str | Later | None = None
) -> Metric:
    is_later = isinstance(when, Later)
    return Metric(
        name=name,
        axis=axis,
        unit=unit,
        meaning=meaning,
        when=f"not written yet: {when.why}" if isinstance(when, Later) else when or usual,
        is_written=not is_later,
    )
