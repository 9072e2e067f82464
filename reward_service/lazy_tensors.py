"""Named tensors of which there is one at a time: each is made when it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

import torch
from torch import Tensor

T = TypeVar("T")


class LazyTensors(Mapping[str, Tensor]):
    """What is asked for is made and not kept. To make one may be a collective of ranks.

    So all ranks ask for each name once, in the order in which the names come: by the size of an
    element, the largest first, then by name, as the tensors of a safetensors file lie.

    Args:
        outlines: By name a tensor of that type and shape, which may be on the meta device.
        make: Returns one by its name; where nobody takes it, whatever it likes.
    """

    def __init__(self, outlines: Mapping[str, Tensor], make: Callable[[str], Tensor]) -> None:
        self.outlines = in_order(outlines)
        self._make = make
        self._left = dict.fromkeys(self.outlines)

    def __getitem__(self, name: str) -> Tensor:
        if name not in self.outlines:
            raise KeyError(name)
        self._left.pop(name, None)
        return self._make(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.outlines)

    def __len__(self) -> int:
        return len(self.outlines)

    def under(self, prefix: str) -> LazyTensors:
        """Return those whose names begin so, by the rest of their names."""
        own = {
            name.removeprefix(prefix): each
            for name, each in self.outlines.items()
            if name.startswith(prefix)
        }
        return LazyTensors(own, lambda name: self[f"{prefix}{name}"])

    def taken(self, take: Callable[[Mapping[str, Tensor]], T] | None) -> T | None:
        """Have them taken; return what `take` does.

        Where it breaks off the rest is asked for all the same: other ranks may wait for this one.

        Args:
            take: Asks for each, in order; None: nobody wants them here.
        """
        try:
            return None if take is None else take(self)
        finally:
            for name in list(self._left):
                self[name]


def outline(tensor: Tensor, shape: torch.Size | None = None) -> Tensor:
    """Return a tensor of the same type and shape, or another shape, without memory."""
    shape = tensor.shape if shape is None else shape
    return torch.empty(shape, dtype=tensor.dtype, device="meta")


def outlines_of(tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Return tensors of which type and shape can be read, without making any."""
    return tensors.outlines if isinstance(tensors, LazyTensors) else tensors


def in_order(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors in the order of `LazyTensors`."""
    return dict(sorted(tensors.items(), key=lambda each: (-each[1].element_size(), each[0])))
