"""Low-rank adapters beside weights that stay as they are; the one module that imports peft.

A linear layer x ↦ W·x becomes x ↦ W·x + (α/r)·B·A·x (LoRA, Hu et al. 2021). The model keeps its
class: layers are replaced in it, and the weights it had, its *base*, are frozen. Since B begins at
0, adapters that are new change nothing.

Letters: D_in, D_out of a linear layer; r, the rank.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from protocol.errors import ConfigError
from reward_service.config import ALL_LINEAR, LoRAConfig
from reward_service.lazy_tensors import LazyTensors

Whole = Callable[[Sequence[nn.Parameter]], AbstractContextManager[object]]
ModuleT = TypeVar("ModuleT", bound=nn.Module)

_NAME = "default"
"""peft's name of the one set of adapters that a model has here."""
_ADAPTED = (nn.Linear, Conv1D)


@dataclass(frozen=True, slots=True, kw_only=True)
class LowRank:
    """What adapters add to one weight, in that weight's own layout: scaling · left @ right."""

    left: Tensor
    """[N, r] of a weight [N, K]."""
    right: Tensor
    """[r, K]."""
    scaling: float
    """α/r."""


def add_adapters(model: PreTrainedModel, config: LoRAConfig, seed: int, section: str) -> None:
    """Freeze a model and put adapters beside its linear layers, in place.

    The same seed gives the same adapters, bit for bit; the random state is left as it was.

    Args:
        model: Without adapters so far; on any device, the meta device too.
        config: Rank, scale, and which layers.
        seed: Of the draw of A.
        section: Where the config stands, for errors, e.g. "policy.lora".

    Raises:
        ConfigError: A name of `target_modules` is of no linear layer, or of the output head; or
            peft refuses the architecture, or adapts what cannot be merged.
    """
    import peft

    linear = _linear(model)
    _check_targets(model, config, section, linear)
    is_all = config.target_modules == (ALL_LINEAR,)
    wanted = peft.LoraConfig(
        r=config.rank,
        lora_alpha=config.alpha,
        # Left to itself, peft takes tensors of experts for linear layers too, which are none.
        target_modules=linear if is_all else list(config.target_modules),
        lora_dropout=0.0,
        bias="none",
        fan_in_fan_out=any(isinstance(each, Conv1D) for each in model.modules()),
    )
    with torch.random.fork_rng(devices=()), warnings.catch_warnings():
        # Told that a model mixes both kinds of linear layer, peft looks at each and says so.
        warnings.filterwarnings("ignore", message="fan_in_fan_out is set")
        # Of experts that it adapts, which are refused below.
        warnings.filterwarnings("ignore", message="The following (rank|alpha)_pattern keys")
        torch.manual_seed(seed)
        try:
            peft.inject_adapter_in_model(wanted, model, _NAME)
        except ValueError as error:  # e.g. of architectures that read a layer's weight themselves
            raise ConfigError(
                f"{section}: {type(model).__name__} cannot be adapted: {error}; name other "
                "target_modules, or train all weights"
            ) from error
    _refuse_others(model, section)


def is_adapted(module: nn.Module) -> bool:
    """Return whether there are adapters in a module."""
    return next(_layers(module), None) is not None


def base_parameters(module: nn.Module) -> dict[str, nn.Parameter]:
    """Return what adapters leave as it was, by every name it has; nothing where there are none.

    That is all parameters of the transformers that have adapters, but the adapters themselves.
    """
    found: dict[str, nn.Parameter] = {}
    for prefix, part in module.named_modules(remove_duplicate=False):
        if isinstance(part, PreTrainedModel) and is_adapted(part):
            for name, parameter in part.named_parameters(remove_duplicate=False):
                if not is_adapters(name):
                    found[f"{prefix}.{name}" if prefix else name] = parameter
    return found


@contextmanager
def without_adapters(module: nn.Module) -> Iterator[None]:
    """Have a module compute what its base alone does."""
    layers = [layer for _, layer in _layers(module)]
    for layer in layers:
        layer.enable_adapters(False)
    try:
        yield
    finally:
        for layer in layers:
            layer.enable_adapters(True)


def sharing(module: ModuleT, shared: Iterable[nn.Parameter]) -> ModuleT:
    """Return a copy of a module that has some of its parameters in common with it."""
    return copy.deepcopy(module, {id(parameter): parameter for parameter in shared})


def low_rank(module: nn.Module, tensors: Mapping[str, Tensor]) -> dict[str, LowRank]:
    """Return what the adapters of a module add, by the name the weight has without adapters.

    Args:
        module: Says which layers have adapters; its tensors need not be whole.
        tensors: The adapters' whole tensors by state-dict name; others are passed over.
    """
    return {f"{name}.weight": _added(layer, tensors, f"{name}.") for name, layer in _layers(module)}


def is_adapters(name: str) -> bool:
    """Return whether a tensor is of adapters, by its name."""
    return ".lora_" in name


def merged(tensors: LazyTensors, added: Mapping[str, LowRank]) -> LazyTensors:
    """Return a module's tensors as they are named without adapters, each with what is added to it.

    Args:
        tensors: All of its whole tensors by state-dict name.
        added: As `low_rank` returns it; nothing where no tensor is wanted.
    """
    names = {name.replace(".base_layer.", "."): name for name in tensors if not is_adapters(name)}

    def make(name: str) -> Tensor:
        weight = tensors[names[name]]
        return _sum(weight, added[name]) if name in added else weight

    return LazyTensors({name: tensors.outlines[own] for name, own in names.items()}, make)


@torch.no_grad()
def merge_in(model: nn.Module, whole: Whole = nullcontext) -> None:
    """Add what adapters add to the weights of a model, in place, and take them out of it.

    The weights that change are new ones: whoever shares the base keeps it as it was.

    Args:
        model: With adapters or none.
        whole: Has the weights that it is given whole meanwhile, where they are not.
    """
    for path, layer in list(_layers(model)):
        plain = layer.get_base_layer()
        with whole(list(layer.parameters())):
            added = _added(layer, layer.state_dict(), "")
            weight = nn.Parameter(_sum(plain.weight, added))
        plain.weight = weight
        parent, _, own = path.rpartition(".")
        setattr(model.get_submodule(parent), own, plain)
    for part in model.modules():
        if hasattr(part, "peft_config"):  # else it counts as one that has adapters
            del part.peft_config
    model.requires_grad_(True)


def _sum(weight: Tensor, added: LowRank) -> Tensor:
    """Return a weight with what is added: in float32, then rounded to the weight's type."""
    product = added.left.float() @ added.right.float()
    return (weight.float() + added.scaling * product).to(weight.dtype).contiguous()


def _added(layer: Any, tensors: Mapping[str, Tensor], prefix: str) -> LowRank:
    """Return what one layer's adapters add, of their tensors by names that begin so."""
    down = tensors[f"{prefix}lora_A.{_NAME}.weight"]
    up = tensors[f"{prefix}lora_B.{_NAME}.weight"]
    left, right = (down.T, up.T) if layer.fan_in_fan_out else (up, down)
    return LowRank(left=left, right=right, scaling=layer.scaling[_NAME])


def _layers(module: nn.Module) -> Iterator[tuple[str, Any]]:
    """Give the layers that have adapters, by name."""
    for name, layer in module.named_modules():
        if hasattr(layer, "lora_A"):
            yield name, layer


def _linear(model: PreTrainedModel) -> list[str]:
    """Return the names of all layers that can be adapted."""
    head = model.get_output_embeddings()
    return [
        name for name, each in model.named_modules() if isinstance(each, _ADAPTED) and each != head
    ]


def _check_targets(
    model: PreTrainedModel, config: LoRAConfig, section: str, linear: Sequence[str]
) -> None:
    """Refuse a name that would be passed over, or of what cannot be merged.

    Raises ConfigError.
    """
    if config.target_modules == (ALL_LINEAR,):
        return
    for wanted in config.target_modules:
        if not any(name == wanted or name.endswith(f".{wanted}") for name in linear):
            raise ConfigError(
                f"{section}.target_modules: {type(model).__name__} has no linear layer {wanted!r} "
                f"that can be adapted: it has {_told(linear)}"
            )


def _refuse_others(model: PreTrainedModel, section: str) -> None:
    """Refuse adapters of anything but linear layers: nobody could merge them.

    In models with experts, peft takes a linear layer's name for the experts' tensors where both
    have had it.

    Raises ConfigError.
    """
    for name, layer in _layers(model):
        if not isinstance(layer.get_base_layer(), _ADAPTED):
            raise ConfigError(
                f"{section}.target_modules: in {type(model).__name__} peft would adapt {name}, "
                "which is no linear layer, by the name of one: name others, e.g. those of "
                "attention, or train all weights"
            )


def _told(names: Iterable[str]) -> str:
    return ", ".join(sorted({name.rpartition(".")[2] for name in names}))
