"""Where two messages first differ, and by how much."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Two values that stand in the same place of two messages and are not alike."""

    path: str
    """E.g. "metrics.policy/loss" or "token_ids.3"; empty for the whole message."""
    recorded: object
    replayed: object

    @property
    def by(self) -> float | None:
        """How far apart two numbers are; None of what is no number."""
        if not (_is_number(self.recorded) and _is_number(self.replayed)):
            return None
        return abs(self.replayed - self.recorded)  # type: ignore[operator,no-any-return]

    def __str__(self) -> str:
        words = f"{self.path or 'the answer'}: recorded {_shown(self.recorded)}, "
        words += f"replayed {_shown(self.replayed)}"
        return words if self.by is None else f"{words}, apart by {self.by:.3g}"


class _Absent:
    def __repr__(self) -> str:
        return "nothing"


ABSENT = _Absent()
"""Stands where one message has something and the other has not."""


def first_difference(
    recorded: Any,
    replayed: Any,
    *,
    tolerance: float = 0.0,
    leaving: Collection[str] = (),
    path: tuple[str, ...] = (),
) -> Difference | None:
    """Return the first place in which two messages differ, or None.

    Args:
        recorded: A dataclass, mapping, sequence, number or text, or these within each other.
        replayed: Likewise.
        tolerance: By which two floats may be apart; with 0 they must be the same, NaN and NaN are.
        leaving: Names of fields and keys that are not compared, wherever they are.
        path: Where these two stand in the whole.
    """
    if _is_tree(recorded) and _is_tree(replayed):
        left, right = _parts(recorded), _parts(replayed)
        names = [*left, *(name for name in right if name not in left)]
        for name in names:
            if name in leaving:
                continue
            found = first_difference(
                left.get(name, ABSENT),
                right.get(name, ABSENT),
                tolerance=tolerance,
                leaving=leaving,
                path=(*path, name),
            )
            if found is not None:
                return found
        return None
    if _alike(recorded, replayed, tolerance):
        return None
    return Difference(path=".".join(path), recorded=recorded, replayed=replayed)


def _is_tree(value: object) -> bool:
    is_message = is_dataclass(value) and not isinstance(value, type)
    return is_message or isinstance(value, Mapping | list | tuple)


def _parts(value: Any) -> dict[str, Any]:
    if isinstance(value, Mapping):
        return {str(key): value[key] for key in sorted(value)}
    if isinstance(value, Sequence):
        return {str(index): each for index, each in enumerate(value)}
    return {field.name: getattr(value, field.name) for field in fields(value)}


def _alike(recorded: object, replayed: object, tolerance: float) -> bool:
    if recorded == replayed:
        return True
    if not (_is_number(recorded) and _is_number(replayed)):
        return False
    left, right = float(recorded), float(replayed)  # type: ignore[arg-type]
    if math.isnan(left) or math.isnan(right):
        return math.isnan(left) and math.isnan(right)
    return abs(left - right) <= tolerance and isinstance(recorded, float)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:197]}…"
