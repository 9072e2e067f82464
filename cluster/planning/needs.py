"""What one process of a run holds, and where."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

GIB = 2**30
MIB = 2**20

Side = Literal["learner", "engines"]
"""Who have the memory of their device in turns."""
Kind = Literal["weights", "optimizer", "gradients", "activations", "kv_cache", "copies", "library"]
"""What memory is for. "activations": what a pass holds, or the end of the last pass and the step if
that is more; "copies": a second model of a swap or a refit, buckets of gradients, weights under
way; "library": CUDA's context and workspaces."""
KINDS: tuple[Kind, ...] = (
    *("weights", "optimizer", "gradients", "activations", "kv_cache", "copies", "library"),
)
CERTAIN: frozenset[Kind] = frozenset({"weights", "optimizer", "gradients", "kv_cache", "copies"})
"""Counted from shapes alone, and held all at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """One process, or the several of an engine; all sizes in bytes."""

    name: str
    """E.g. "learner rank 0"."""
    part: str
    """Which part of a run it belongs to, e.g. "learner"; all of one part are alike."""
    gpus: float
    """GPUs it is placed with, a part of one or whole ones; 0: it computes on the host."""
    model: Mapping[Kind, int] = field(default_factory=dict)
    """Memory where it computes; of an engine on several devices, on each of them."""
    host: int = 0
    """Memory of the host beside that."""
    offloaded: int = 0
    """What of `host` an optimizer keeps there, counted from shapes alone."""
    shared: int = 0
    """Shared memory or object store that it fills."""
    side: Side | None = None
    """Side whose turn it needs for what it holds of its device; None: it holds it all the time."""

    @property
    def on_device(self) -> int:
        """Bytes where it computes."""
        return sum(self.model.values())

    @property
    def certain(self) -> int:
        """Bytes where it computes that it cannot do without."""
        return sum(size for kind, size in self.model.items() if kind in CERTAIN)

    @property
    def certain_of_host(self) -> int:
        """Bytes of the host's memory that it cannot do without, shared memory left out."""
        return self.offloaded + (0 if self.gpus else self.certain)

    @property
    def resting(self) -> int:
        """Bytes that it holds of its device while it is another's turn: CUDA's own, no more."""
        return self.model.get("library", 0)

    @property
    def of_host(self) -> int:
        """Bytes of the host's memory, shared memory among them."""
        return self.host + self.shared + (0 if self.gpus else self.on_device)


@dataclass(frozen=True, slots=True, kw_only=True)
class OnDisk:
    """What lies on the disk of the run's folder when it is fullest."""

    name: str
    num_bytes: int
    field: str
    """Key of the config that bounds it; empty: none does."""


def more(held: Mapping[Kind, int], **added: int) -> dict[Kind, int]:
    """Return memory by kind, with more of some kinds."""
    return {kind: held.get(kind, 0) + added.get(kind, 0) for kind in KINDS}


def in_gib(num_bytes: float) -> str:
    """Return a size as people read it, e.g. "13.2"."""
    return f"{num_bytes / GIB:.1f}"
