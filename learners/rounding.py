"""How far log-probabilities move when a pass is computed in another type than the learner's.

Two sound programs in bfloat16 differ by as much as bfloat16 costs a model, and that is for the
model to say: a logit of 20 is rounded to eighths. So a pass is run once more, perturbed by as much
as one rounds, as in Monte Carlo arithmetic (Parker 1997), and compared with the plain one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

_MOVED = 1 / 6
"""Share of numbers that move by one in their last place: so much varies what is rounded twice."""


@contextmanager
def rounded_to(dtype: torch.dtype, model: nn.Module) -> Iterator[None]:
    """Have a model compute meanwhile as in a type with fewer digits; nothing is copied.

    Products are in that type, and what each module returns is rounded to it. Where the model is in
    the type already, some of what each module returns is moved by one in the last place instead.

    Args:
        dtype: The type, e.g. bfloat16.
        model: Of which no other thread runs a pass meanwhile.
    """
    device = next(model.parameters()).device
    generator = torch.Generator(device).manual_seed(0)
    hook = partial(_rounded_output, dtype, generator)
    handles = [each.register_forward_hook(hook) for each in model.modules()]
    try:
        # Without its cache, which would hold all weights once more, and those that ZeRO lets go.
        with torch.autocast(device.type, dtype=dtype, cache_enabled=False):
            yield
    finally:
        for handle in handles:
            handle.remove()


def coarser(first: str, second: str) -> torch.dtype | None:
    """Return the type of the two, by name, that has fewer digits; None where both are float32."""
    dtypes = [getattr(torch, name) for name in (first, second)]
    dtype: torch.dtype = max(dtypes, key=lambda each: torch.finfo(each).eps)
    return None if dtype == torch.float32 else dtype


def _rounded_output(
    dtype: torch.dtype, generator: torch.Generator, _: nn.Module, inputs: object, output: Any
) -> Any:
    if isinstance(output, Tensor):
        return _rounded(output, dtype, generator)
    if type(output) is tuple:
        return tuple(_rounded_output(dtype, generator, _, inputs, each) for each in output)
    return output  # what holds no numbers, or those of modules that had their turn


def _rounded(x: Tensor, dtype: torch.dtype, generator: torch.Generator) -> Tensor:
    if not x.is_floating_point():
        return x
    if x.dtype != dtype:
        return x.to(dtype).to(x.dtype)
    draw = torch.rand(x.shape, generator=generator, device=x.device)
    away = torch.where(draw < _MOVED / 2, -torch.inf, torch.inf).to(dtype)
    return torch.where(draw < _MOVED, torch.nextafter(x, away), x)
