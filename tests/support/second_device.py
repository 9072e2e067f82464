"""A second device on a machine without one: CPU memory that says it is elsewhere, and holds to it.

Inside `second_device()`, tensors sent to `SECOND` compute as ever, but whatever mixes them with
tensors of the CPU fails as it would on a GPU. What PyTorch allows on a GPU is allowed here:

- tensors of no dimension from the CPU, among those of the device;
- positions to read or write at (`x[positions]`) from the CPU;
- `copy_`, `to`, `cpu`, `item`, `tolist`, `float(x)`.

Only what Python calls is seen; a backward pass is not.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode, resolve_name
from torch.utils._pytree import tree_leaves, tree_map

SECOND = torch.device("cuda", 0)
_MARK = "_is_on_second_device"

_OF_TENSORS: Any = Tensor  # whose attributes the stubs take for values
_DEVICE, _IS_CUDA = _OF_TENSORS.device.__get__, _OF_TENSORS.is_cuda.__get__
_SET_DATA = _OF_TENSORS.data.__set__
_MOVES = {Tensor.to, Tensor.cpu}
_ANYWHERE = {
    *(*_MOVES, Tensor.copy_, Tensor.type_as, _SET_DATA, torch.tensor, torch.as_tensor),
    torch._has_compatible_shallow_copy_type,
}
_HOST_ONLY: set[Any] = {Tensor.numpy, Tensor.__array__}
_BY_POSITION = {Tensor.__getitem__, Tensor.__setitem__}
_ALL_ALIKE = {torch.cat, torch.stack, Tensor.index_add, Tensor.gather, Tensor.scatter_add}
"""Functions that take no tensor of the CPU, of no dimension either."""


class Strayed(RuntimeError):
    """A call that a GPU would refuse."""


def is_second(x: object) -> bool:
    return isinstance(x, Tensor) and bool(x.__dict__.get(_MARK, False))


def put_on_second(module: nn.Module) -> nn.Module:
    """Mark a module's tensors, as an engine moves its model to its device."""
    for tensor in (*module.parameters(), *module.buffers()):
        tensor.__dict__[_MARK] = True
    return module


@contextmanager
def second_device() -> Iterator[None]:
    with _SecondDevice():
        yield


class _SecondDevice(TorchFunctionMode):
    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        tensors = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
        second = [x for x in tensors if is_second(x)]
        if func == _DEVICE:
            return SECOND if second else torch.device("cpu")
        if func == _IS_CUDA:
            return bool(second)
        if func is torch._C._nn._parse_to:  # of Module.to, which moves each tensor then
            return func(*args, **kwargs)
        _check(func, args, kwargs, tensors, second)
        goal = self._goal(func, args, kwargs, bool(second))
        args, kwargs = tree_map(_here, args), tree_map(_here, kwargs)
        result = func(*args, **kwargs)
        if func in _MOVES and goal != bool(second):
            result = result.clone()  # memory of another device
        elif func == _SET_DATA:
            _mark(args[0], is_second(args[1]))
            return result
        return tree_map(functools.partial(_mark, goal=goal), result)

    @staticmethod
    def _goal(func: Any, args: Any, kwargs: Any, has_second: bool) -> bool:
        """Whether what comes out lies on the second device."""
        if func is Tensor.cpu:
            return False
        if func is Tensor.copy_:
            return is_second(args[0])
        if func in (Tensor.to, Tensor.type_as):
            for each in (*args[1:], *kwargs.values()):
                if isinstance(each, Tensor):
                    return is_second(each)
        named = [kwargs["device"]] if kwargs.get("device") is not None else []
        if func is Tensor.to:
            named += [x for x in args[1:] if isinstance(x, torch.device | str)]
        if named:
            return torch.device(named[0]).type == SECOND.type
        return has_second


def _check(func: Any, args: Any, kwargs: Any, tensors: list[Tensor], second: list[Tensor]) -> None:
    name = resolve_name(func) or getattr(func, "__name__", str(func))
    if func in _HOST_ONLY and second:
        raise Strayed(f"{name} reads a tensor that is not on the CPU")
    generator = kwargs.get("generator")
    if generator is not None and (second or _goes_to_second(kwargs)):
        raise Strayed(f"{name} draws on another device than its generator's")
    if not second or func in _ANYWHERE:
        return
    if func in _BY_POSITION and is_second(args[0]):
        tensors = [x for x in tensors if x is args[0]]
        value = args[2] if len(args) > 2 else None
        tensors += [value] if isinstance(value, Tensor) else []
    here = [x for x in tensors if not is_second(x) and (x.ndim or func in _ALL_ALIKE)]
    if name.endswith("_") and not is_second(tensors[0]):
        here.append(tensors[0])  # changed in place
    if here:
        raise Strayed(f"{name} mixes a tensor of the CPU {tuple(here[0].shape)} with the device's")


def _goes_to_second(kwargs: dict[str, Any]) -> bool:
    return kwargs.get("device") is not None and torch.device(kwargs["device"]).type == SECOND.type


def _here(x: object) -> object:
    """Replace the device that is not there by the one that is."""
    return torch.device("cpu") if isinstance(x, torch.device) and x.type == SECOND.type else x


def _mark(x: object, goal: bool) -> object:
    if isinstance(x, Tensor):
        x.__dict__[_MARK] = goal
    return x
