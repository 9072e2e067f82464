"""Whose labels are, and the digests by which some of them are drawn: all that weighing asks."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, Self, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

Bools: TypeAlias = NDArray[np.bool_]
Ints: TypeAlias = NDArray[np.int64]
Digests: TypeAlias = NDArray[np.uint64]


class Given(Protocol):
    """What says of a label whose it is, and on which query: a comparison, or a label event."""

    @property
    def query_id(self) -> str:
        """The query."""
        ...

    @property
    def labeler_id(self) -> str:
        """Who gave it."""
        ...


LabelT = TypeVar("LabelT", bound=Given)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GivenLabels:
    """The same of n labels, in columns."""

    names: tuple[str, ...]
    """Labelers, each once; `labeler` names them by place. Some may have given none of these."""
    labeler: Ints
    """[n], who gave each."""
    label_digest: Digests
    """[n], see `label_digest`."""
    query_digest: Digests
    """[n], see `query_digest`."""

    @classmethod
    def of(cls, labels: Sequence[Given]) -> Self:
        """Take the columns of some labels, in their order."""
        names = tuple(dict.fromkeys(label.labeler_id for label in labels))
        number = {name: place for place, name in enumerate(names)}
        return cls(
            names=names,
            labeler=np.array([number[label.labeler_id] for label in labels], dtype=np.int64),
            label_digest=np.array([label_digest(label) for label in labels], dtype=np.uint64),
            query_digest=np.array([query_digest(label) for label in labels], dtype=np.uint64),
        )

    def counts(self) -> dict[str, int]:
        """Return how many labels each labeler gave; nobody who gave none."""
        return counts_of(self.names, self.labeler)

    def by(self, labeler_id: str) -> Ints:
        """Return the places of somebody's labels, rising."""
        return np.flatnonzero(self.labeler == self.names.index(labeler_id))


def counts_of(names: Sequence[str], places: NDArray[np.integer]) -> dict[str, int]:
    """Return how often each of some names is meant by its place; nobody who is not."""
    counts = np.bincount(places, minlength=len(names)).tolist()
    return {name: count for name, count in zip(names, counts, strict=True) if count}


def label_digest(label: Given) -> int:
    """Return 64 bits that name a label by its query and labeler, never by sequence number."""
    return _digest(f"{label.query_id}:{label.labeler_id}")


def query_digest(label: Given) -> int:
    """Return 64 bits of a label's query, by which those of all who answered it are drawn."""
    return _digest(label.query_id)


def _digest(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=16).digest()[:8], "big")
