"""Weights taken apart while a model is loaded: under ZeRO-3 no rank loads a model whole.

A model is built without memory for its weights. Each of them is read by itself, cast, and taken
apart the moment it is given to its module: every rank keeps its part, as DeepSpeed's `zero.Init`
cuts them, and lets go of the rest before the next is read. So a rank holds its share of the model
and one whole weight. Whoever loads, from whatever files, need not know of it.

All ranks call the same methods in the same order: most of them are collectives, and block until
every rank has come.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn.modules.module import register_module_parameter_registration_hook
from torch.overrides import TorchFunctionMode

from learners.config import DeepSpeedConfig
from learners.deepspeed_settings import frozen_settings, import_deepspeed, settings, zero_stage

_ONE_BY_ONE = "HF_DEACTIVATE_ASYNC_LOAD"
"""Keeps transformers from reading in threads, ahead of what is given to modules."""


class Parting:
    """Takes weights apart where an engine has them so, at ZeRO stage 3; else leaves them whole.

    Args:
        config: Of the engine; None: none, all stays whole.

    `engine.join_ranks` comes first, for stage 3.
    """

    def __init__(self, config: DeepSpeedConfig | None = None) -> None:
        self.is_on = config is not None and zero_stage(config) == 3
        if config is None or not self.is_on:
            return
        self._config = config
        self._deepspeed = import_deepspeed()
        self._dtype: torch.dtype = getattr(torch, config.dtype)
        # DeepSpeed takes modules apart; one weight, only where another was before.
        first = nn.Linear(1, 1, bias=False, dtype=self._dtype)
        self._deepspeed.zero.Init(module=first, config_dict_or_path=settings(config))
        self._first: Any = first.weight

    @contextmanager
    def loading(self) -> Iterator[None]:
        """Take apart each weight that any module is given meanwhile, but for those without memory.

        Modules that draw their weights, or are copied into, are to be made outside.
        """
        if not self.is_on:
            yield
            return
        before = os.environ.get(_ONE_BY_ONE)
        os.environ[_ONE_BY_ONE] = "1"
        hook = register_module_parameter_registration_hook(lambda _, __, each: self._take(each))
        try:
            with _ComparedByParts():
                yield
        finally:
            hook.remove()
            if before is None:
                del os.environ[_ONE_BY_ONE]
            else:
                os.environ[_ONE_BY_ONE] = before

    def in_float32(self) -> Parting:
        """Return what takes apart without rounding, for weights that others are yet made of."""
        if not self.is_on:
            return self
        return Parting(self._config.model_copy(update={"dtype": "float32"}))

    def take(self, module: nn.Module) -> None:
        """Take apart what of a module is still whole; put all of it in the engine's type and place.

        Nothing is done below stage 3, where the engine does it.
        """
        if not self.is_on:
            return
        for parameter in module.parameters():
            self._take(parameter)
        for buffer in module.buffers():
            buffer.data = buffer.data.to(self._first.ds_tensor.device)

    @contextmanager
    def whole(self, parameters: Iterable[nn.Parameter]) -> Iterator[None]:
        """Have some weights whole, on every rank; what is changed of them meanwhile is lost."""
        if not self.is_on:
            yield
            return
        with self._deepspeed.zero.GatheredParameters(list(parameters)):
            yield

    @contextmanager
    def running(self, model: nn.Module) -> Iterator[None]:
        """Have each layer of a model whole while it runs, in float32 on CPU, without gradients.

        It is for a model that is in no engine yet, which would do so itself.
        """
        with ExitStack() as hooks:
            for layer in layers_of(model) if self.is_on else ():
                lent = hooks.enter_context(ExitStack())
                weights = list(layer.parameters())
                hook = layer.register_forward_pre_hook(partial(self._lend, lent, weights))
                hooks.callback(hook.remove)
                hook = layer.register_forward_hook(partial(_give_back, lent))
                hooks.callback(hook.remove)
            yield

    def frozen(self, module: nn.Module) -> Any:
        """Return DeepSpeed's engine of a module that nobody trains; at stage 3 alone."""
        self.take(module.requires_grad_(False))
        engine, *_ = self._deepspeed.initialize(
            model=module, config=frozen_settings(self._config), dist_init_required=False
        )
        return engine

    def _lend(self, lent: ExitStack, weights: Sequence[nn.Parameter], *_: object) -> None:
        lent.enter_context(self._in_float32(weights))

    @contextmanager
    def _in_float32(self, weights: Sequence[Any]) -> Iterator[None]:
        with ExitStack() as gathered:
            for each in weights:  # by itself: there is a second copy while it is put together
                gathered.enter_context(self.whole([each]))
                each.data = each.data.to("cpu", torch.float32)
            try:
                yield
            finally:
                for each in weights:
                    each.data = each.ds_tensor.new_empty(0)

    def _take(self, parameter: Any) -> None:
        if parameter is None or parameter.is_meta:
            return
        dtype = self._dtype if parameter.is_floating_point() else parameter.dtype
        if hasattr(parameter, "ds_id"):
            parameter.ds_tensor.data = parameter.ds_tensor.to(dtype)
            parameter.data = parameter.detach().to(dtype)
            return
        # Rank 0's are sent to the others, into memory that must not be the file's.
        parameter.data = parameter.detach().to(dtype, copy=True).contiguous()
        self._first.convert_to_zero_parameters(param_list=[parameter])


class _ComparedByParts(TorchFunctionMode):
    """Answers whether two weights are equal where each rank has parts of them.

    The library ties a head to the embeddings only where a file does not hold another.
    """

    def __torch_function__(
        self,
        func: Any,
        types: Sequence[Any],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run a function, or compare."""
        if func is not torch.equal or not all(hasattr(each, "ds_tensor") for each in args):
            return func(*args, **(kwargs or {}))
        one, other = args
        if one.ds_shape != other.ds_shape:
            return False
        differ = (one.ds_tensor != other.ds_tensor).any().float()
        torch.distributed.all_reduce(differ)
        return not bool(differ)


def _give_back(lent: ExitStack, *_: object) -> None:
    lent.close()


def layers_of(module: nn.Module) -> Iterator[nn.Module]:
    """Give parts of a module that are run one after the other and hold all its weights.

    They are the items of lists, as decoders have them, and what holds weights outside these.
    """
    if next(module.parameters(recurse=False), None) is not None:
        yield module
        return
    for child in module.children():
        if isinstance(child, nn.ModuleList):
            yield from child
        else:
            yield from layers_of(child)
