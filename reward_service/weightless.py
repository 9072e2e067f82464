"""Modules that are made without memory for their weights, which they are given later."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn
from torch.nn.modules.module import register_module_parameter_registration_hook


@contextmanager
def without_weights() -> Iterator[None]:
    """Put the parameters of modules that are made meanwhile on the meta device.

    Buffers are what they are: some are computed, and in no file.
    """
    hook = register_module_parameter_registration_hook(_emptied)
    try:
        yield
    finally:
        hook.remove()


def _emptied(_: nn.Module, __: str, parameter: nn.Parameter | None) -> Any:
    """Return what a module gets in a parameter's place; None: the parameter."""
    if parameter is None or parameter.is_meta:
        return None
    return nn.Parameter(parameter.detach().to("meta"), requires_grad=parameter.requires_grad)
