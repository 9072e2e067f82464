"""`learners.engine.Engine` on one rank without DeepSpeed: what unit tests put in its place."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from learners.config import DeepSpeedConfig
from learners.side_by_side import SideBySide, add_in_turn
from learners.weight_average import WeightAverage
from protocol.errors import NotFinite
from reward_service.lazy_tensors import LazyTensors

T = TypeVar("T")


class PlainEngine:
    """Stays on the CPU; a subclass may name another device."""

    rank = 0
    world_size = 1
    device = torch.device("cpu")
    passes = SideBySide(1)

    def __init__(
        self,
        module: nn.Module,
        config: DeepSpeedConfig,
        constant: Collection[str] = (),
        average_decay: float | None = None,
    ) -> None:
        self.module: Any = module.to(self.device)
        self._config = config
        self._constant = frozenset(constant)
        self._trained = [p for p in module.parameters() if p.requires_grad]
        self._optimizer = torch.optim.AdamW(
            self._trained,
            lr=0.0,
            betas=config.adam_betas,
            eps=config.adam_eps,
            weight_decay=config.weight_decay,
        )
        self._average = (
            None if average_decay is None else WeightAverage(self._trained, average_decay)
        )
        self.num_steps = 0
        self.is_resting = False

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        assert not self.is_resting
        return self.module(*args, **kwargs)

    def share(self, indices: Tensor) -> Tensor:
        return indices

    def accumulate(self, passes: Sequence[Callable[[], tuple[Tensor, T]]]) -> list[T]:
        return add_in_turn(passes, self.backward)

    def backward(self, loss: Tensor, *, is_last: bool) -> None:
        if not bool(torch.isfinite(loss)):
            raise NotFinite(f"the loss on rank 0 is {loss.item()}")
        loss.backward()

    def step(self, lr: float) -> float:
        for group in self._optimizer.param_groups:
            group["lr"] = lr
        norm = float(nn.utils.clip_grad_norm_(self._trained, self._config.max_grad_norm))
        if not math.isfinite(norm):
            raise NotFinite(f"the gradient norm is {norm}")
        self._optimizer.step()
        self._optimizer.zero_grad()
        self.num_steps += 1
        return norm

    def discard_gradients(self) -> None:
        self._optimizer.zero_grad()

    def gathered(self, rows: Tensor) -> Tensor:
        return rows

    def summed(self, x: Tensor) -> Tensor:
        return x

    def whole_tensors(self, *, with_constant: bool = True) -> LazyTensors:
        left_out = frozenset() if with_constant else self._constant
        held = {n: x for n, x in self.module.state_dict().items() if n not in left_out}
        return LazyTensors(held, lambda name: held[name].detach().to("cpu", copy=True))

    def update_average(self) -> None:
        if self._average is not None:
            self._average.update(self._trained)

    @contextmanager
    def averaged_tensors(self) -> Iterator[LazyTensors | None]:
        if self._average is None:
            yield None
            return
        with self._average.in_place_of(self._trained):
            yield self.whole_tensors()

    def state(self) -> dict[str, Tensor]:
        return self.snapshot()

    def snapshot(self) -> dict[str, Tensor]:
        state = {f"weight/{name}": x for name, x in self._weights()}
        for index, moments in enumerate(self._moments()):
            state |= {f"moment/{index}/{key}": x for key, x in moments.items()}
        state |= {} if self._average is None else self._average.state()
        return {name: x.detach().clone() for name, x in state.items()}

    @torch.no_grad()
    def restore(self, state: dict[str, Tensor]) -> None:
        for name, parameter in self._weights():
            parameter.copy_(state[f"weight/{name}"])
        for index, parameter in enumerate(self._trained):
            own, prefix = self._optimizer.state[parameter], f"moment/{index}/"
            saved = {k.removeprefix(prefix): x for k, x in state.items() if k.startswith(prefix)}
            for key in own.keys() | saved.keys():
                own[key] = saved[key].clone() if key in saved else torch.zeros_like(own[key])
        if self._average is not None:
            self._average.restore(state)

    def _moments(self) -> list[dict[str, Tensor]]:
        return [self._optimizer.state.get(p, {}) for p in self._trained]

    def _weights(self) -> list[tuple[str, Tensor]]:
        return [(n, x) for n, x in self.module.named_parameters() if n not in self._constant]

    def rest(self) -> None:
        assert not self.is_resting
        self.is_resting = True

    def wake(self) -> None:
        assert self.is_resting
        self.is_resting = False

    def close(self) -> None:
        self.module = None
