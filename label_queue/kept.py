"""Which classes hold what the folds have made of a ledger, and in which of their attributes.

A snapshot of the folds (`label_queue.snapshot`) writes these and nothing else: what an attribute
that is not named holds was given to the fold, or can be found again from what is kept.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any, TypeVar

C = TypeVar("C", bound=type)

KEPT: dict[type, tuple[str, ...]] = {}
"""Attributes that a snapshot keeps, by class. Filled where the classes are defined."""


def kept(*names: str) -> Callable[[C], C]:
    """Have a snapshot keep a class's attributes of these names; of a dataclass without, all."""

    def note(kind: C) -> C:
        defined: Any = kind
        KEPT[kind] = names or tuple(each.name for each in fields(defined))
        return kind

    return note
