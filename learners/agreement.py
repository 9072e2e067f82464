"""What may fail on one rank alone: all ranks learn of it before any of them goes on.

A rank that meets a full disk and leaves would be missed in the next collective, until that gives
up; and where the same is asked again, the others would think that they have done it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch

from learners.engine import Engine
from protocol import errors
from protocol.errors import AndonError
from protocol.files import is_full

T = TypeVar("T")

MOST_TOLD_BYTES = 2048
"""How much of an error the other ranks are told."""


def on_all(engine: Engine, act: Callable[[], T]) -> T:
    """Do this rank's part of something, and go on only where no rank has failed at its own.

    A collective: every rank comes, also one that has no part in it.

    Args:
        engine: By which the ranks meet.
        act: This rank's part.

    Raises:
        AndonError: What `act` raised here; where it raised on other ranks alone, an error of the
            same type that names the first of them.
        OSError: What `act` raised here.
    """
    try:
        answer = act()
    except (AndonError, OSError) as error:
        _told(engine, error)
        raise
    for rank, words in enumerate(_told(engine, None)):
        if words:
            name, _, said = words.partition(" ")
            raise getattr(errors, name)(f"rank {rank} of {engine.world_size}: {said}")
    return answer


def as_rank_0_sees(engine: Engine, is_so: Callable[[], bool]) -> bool:
    """Return on every rank whether something is so when rank 0 looks; a collective.

    What lies on disk may change between two looks, and all ranks must do the same. Errors as
    `on_all`.
    """
    seen = on_all(engine, lambda: engine.rank == 0 and is_so())
    return bool(engine.summed(torch.tensor(int(seen), device=engine.device)))


def _told(engine: Engine, error: AndonError | OSError | None) -> list[str]:
    """Tell the other ranks of an error; return what each tells, in order, "" for none."""
    if engine.world_size == 1:
        return []
    words = b"" if error is None else f"{_kind(error)} {error}".encode()[:MOST_TOLD_BYTES]
    own = torch.tensor([list(words.ljust(MOST_TOLD_BYTES, b"\0"))], dtype=torch.uint8)
    rows = engine.gathered(own.to(engine.device)).tolist()
    return [bytes(row).rstrip(b"\0").decode(errors="replace") for row in rows]


def _kind(error: AndonError | OSError) -> str:
    """Return the name of the type, in `protocol.errors`, that others raise for it."""
    if isinstance(error, AndonError):
        return type(error).__name__
    return "DiskFull" if is_full(error) else "ResourceError"
