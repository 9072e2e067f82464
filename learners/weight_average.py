"""The exponential moving average of a policy's weights over its versions.

Ouyang et al. (2022, appendix C.4) keep one with decay 0.992 in training by PPO, and do not say of
what it is a step. Here it is a PPO step, one batch: the average follows versions, and it begins as
ρ, so that of the first steps much of it is still ρ: after n of them 0.992ⁿ.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor


class WeightAverage:
    """The average of what an optimizer moves on this rank, in float32.

    So each rank has as much of it as of its optimizer's state: 4 bytes a weight more, beside 8 or
    12. The numbers that a float32 optimizer moves are averaged, not what is rounded from them.

    Args:
        masters: Those numbers, as they are at ρ.
        decay: How much of the average stays at each update.
    """

    def __init__(self, masters: Sequence[Tensor], decay: float) -> None:
        self._decay = decay
        self._averages = [each.detach().to(torch.float32, copy=True) for each in masters]

    @torch.no_grad()
    def update(self, masters: Sequence[Tensor]) -> None:
        """Take in a version: average ← decay·average + (1 − decay)·weights."""
        for average, master in zip(self._averages, masters, strict=True):
            average.lerp_(master.detach(), 1.0 - self._decay)

    @contextmanager
    def in_place_of(self, masters: Sequence[Tensor]) -> Iterator[None]:
        """Put the average where the weights are, and both back at the end, bit for bit.

        What the forward pass uses is not changed where it is something else.
        """
        self._swap(masters)
        try:
            yield
        finally:
            self._swap(masters)

    def state(self) -> dict[str, Tensor]:
        """Return the average by the keys that `engine_state` names."""
        return {f"average/{index}": each for index, each in enumerate(self._averages)}

    @torch.no_grad()
    def restore(self, state: dict[str, Tensor]) -> None:
        """Take back what `state` gave. Raises KeyError where there is none."""
        for index, average in enumerate(self._averages):
            average.copy_(state[f"average/{index}"])

    def move_to(self, device: torch.device) -> None:
        """Keep it on another device from here on."""
        self._averages = [each.to(device) for each in self._averages]

    @torch.no_grad()
    def _swap(self, masters: Sequence[Tensor]) -> None:
        for average, master in zip(self._averages, masters, strict=True):
            weights = master.detach().clone()
            master.detach().copy_(average)
            average.copy_(weights)
