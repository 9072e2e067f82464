"""What one rank of an engine must keep to go on from here, read from DeepSpeed's own structures.

ZeRO spreads state over the ranks, so each rank has its share, and can only give it back to an
engine of the same stage, type and number of ranks. Keys, all tensors:

    weight/NAME      a parameter as the forward pass uses it; of ZeRO-3 this rank's part
    master/I         float32 weights that the optimizer moves, where they are not the parameters
    moment/I/KEY     the optimizer's state of the I-th of them: exp_avg, exp_avg_sq, step
    group/G/step     the step count of optimizers that keep one a group
    average/I        the average of the I-th of them, where one is kept; see `weight_average`
    random/DEVICE    the state of the random generator

Parameters that nobody changes have no place in it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

import torch
from torch import Tensor

State = dict[str, Tensor]


def state_of(engine: Any, constant: Collection[str] = ()) -> State:
    """Return this rank's share of a DeepSpeed engine's state as it stands; nothing is copied.

    Args:
        engine: DeepSpeed's.
        constant: Names of parameters that nobody changes.
    """
    weights = dict(_weights(engine.module, constant))
    state = {f"weight/{name}": weight for name, weight in weights.items()}
    places = {weight.data_ptr() for weight in weights.values()}
    for index, master in enumerate(masters(engine.optimizer)):
        if master.data_ptr() not in places:
            state[f"master/{index}"] = master
        for key, value in adam_of(engine.optimizer).state.get(master, {}).items():
            state[f"moment/{index}/{key}"] = torch.as_tensor(value)
    for index, group in enumerate(adam_of(engine.optimizer).param_groups):
        if "step" in group:
            state[f"group/{index}/step"] = torch.as_tensor(group["step"])
    state["random/cpu"] = torch.get_rng_state()
    if torch.cuda.is_available():
        state["random/cuda"] = torch.cuda.get_rng_state()
    return {name: x.detach() for name, x in state.items()}


def copied(state: State) -> State:
    """Return a copy of a state on the host, which no step changes."""
    return {name: x.to("cpu", copy=True).contiguous() for name, x in state.items()}


@torch.no_grad()
def restore(engine: Any, state: State, constant: Collection[str] = ()) -> None:
    """Give a DeepSpeed engine back what `state_of` gave of this rank. A collective under ZeRO-3.

    Args:
        engine: DeepSpeed's.
        state: As it was taken.
        constant: As it was given to `state_of`.

    Raises:
        KeyError: The state is of an engine of another stage, type or number of ranks.
    """
    weights = dict(_weights(engine.module, constant))
    for name, weight in weights.items():
        weight.copy_(state[f"weight/{name}"])
    _refresh_whole_parameters(engine)
    places = {weight.data_ptr() for weight in weights.values()}
    inner = adam_of(engine.optimizer)
    for index, master in enumerate(masters(engine.optimizer)):
        if master.data_ptr() not in places:
            master.copy_(state[f"master/{index}"])
        _restore_moments(inner, master, _under(state, f"moment/{index}/"))
    for index, group in enumerate(inner.param_groups):
        if "step" in group:
            group["step"] = _like(group["step"], state.get(f"group/{index}/step"))
    torch.set_rng_state(state["random/cpu"])
    if torch.cuda.is_available():
        torch.cuda.set_rng_state(state["random/cuda"])


def forget_sums(optimizer: Any) -> None:
    """Forget what ZeRO-1 and 2 add up over passes; their own `zero_grad` leaves it there."""
    if not hasattr(optimizer, "single_partition_of_fp32_groups"):
        return
    optimizer.all_grad_tensors.clear()
    optimizer.averaged_gradients.clear()
    optimizer.micro_step_id = -1  # the next pass is the first, whose gradients are added to nothing


def masters(optimizer: Any) -> list[Tensor]:
    """Return what the optimizer moves on this rank, in a fixed order."""
    if hasattr(optimizer, "fp32_partitioned_groups_flat"):  # ZeRO-3 empties its groups after a step
        return list(optimizer.fp32_partitioned_groups_flat)
    return [master for group in adam_of(optimizer).param_groups for master in group["params"]]


def adam_of(optimizer: Any) -> Any:
    """Return the Adam inside DeepSpeed's wrapping, which is bare at stage 0."""
    return getattr(optimizer, "optimizer", optimizer)


def _restore_moments(inner: Any, master: Tensor, saved: State) -> None:
    """Set the moments of one master; those of before the first step are zeros.

    In place where there are some: ZeRO holds views into them.
    """
    own = inner.state.get(master, {})
    for key in own.keys() | saved.keys():
        current, value = own.get(key), saved.get(key)
        if isinstance(current, Tensor):
            current.copy_(torch.zeros_like(current) if value is None else value)
        elif current is not None:
            own[key] = _like(current, value)
        else:
            assert value is not None, "a key comes from one of the two"
            # An optimizer that is not fused keeps the count of steps on CPU.
            on_cpu = value.ndim == 0 and not inner.defaults.get("fused")
            inner.state[master][key] = (
                value.clone() if on_cpu else value.to(master.device, copy=True)
            )


def _like(current: Any, saved: Tensor | None) -> Any:
    """Return a saved number in the form that stands there now; none saved: 0."""
    if isinstance(current, Tensor):
        return torch.zeros_like(current) if saved is None else saved.to(current)
    return type(current)(0 if saved is None else saved.item())


def _weights(module: Any, constant: Collection[str]) -> Iterator[tuple[str, Tensor]]:
    """Give each parameter's storage on this rank, once; under ZeRO-3 it is a part of it."""
    for name, parameter in module.named_parameters():
        if name in constant:
            continue
        yield name, getattr(parameter, "ds_tensor", parameter).data


def _refresh_whole_parameters(engine: Any) -> None:
    """Under ZeRO-3, make the parameters that are kept whole agree with their parts."""
    if not hasattr(engine.optimizer, "persistent_parameters"):
        return
    for parameter in engine.module.parameters():
        parameter.partition([parameter])
    persistent = engine.optimizer.persistent_parameters
    if persistent:
        persistent[0].all_gather(persistent)


def _under(state: State, prefix: str) -> State:
    return {
        name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)
    }
