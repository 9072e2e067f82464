"""DeepSpeed's engine: one sharded model with its optimizer.

All ranks call the same methods in the same order: most of them are collectives, and block until
every rank has come.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from learners import engine_state
from learners.activations import keep_no_activations
from learners.adam_powers import forget_powers
from learners.config import DeepSpeedConfig
from learners.deepspeed_settings import (
    end_groups,
    ended,
    import_deepspeed,
    settings,
    zero_stage,
)
from learners.parting import Parting
from learners.side_by_side import SideBySide, add_in_turn, gradients, threads_for_passes
from learners.weight_average import WeightAverage
from protocol.errors import NotFinite
from reward_service.arithmetic import attend_in_float32, products_rounded, rounds_products
from reward_service.lazy_tensors import LazyTensors, outline

T = TypeVar("T")


def join_ranks(rank: int, world_size: int, host: str, port: int, timeout_s: float = 600.0) -> None:
    """Meet the other ranks of this learner in the process's one process group. Blocks.

    NCCL where there is a GPU, gloo elsewhere.

    Args:
        rank: Of this process, from 0.
        world_size: W.
        host: Rank 0's address.
        port: A free one there; rank 0 binds it.
        timeout_s: How long one collective may wait for a rank that does not come.
    """
    if host.startswith("127."):
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    timeout = timedelta(seconds=timeout_s)
    # Left to itself, the store of rank 0 listens on all interfaces.
    listener = socket.create_server((host, port)).detach() if rank == 0 else None
    store = torch.distributed.TCPStore(  # type: ignore[attr-defined]
        host, port, world_size, is_master=rank == 0, timeout=timeout, master_listen_fd=listener
    )
    torch.distributed.init_process_group(
        "nccl" if torch.cuda.is_available() else "gloo",
        store=store,
        rank=rank,
        world_size=world_size,
        timeout=timeout,
    )


def leave_ranks() -> None:
    """End the process group; another may be joined. May be called twice."""
    if torch.distributed.is_initialized():
        end_groups()


def free_port(host: str) -> int:
    """Return a port of `host` that is free now."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


class Engine:
    """A module in training: forward, backward, step, and its whole weights when asked.

    Args:
        module: In float32 on CPU, the same on every rank, or taken apart as `Parting` does; the
            engine owns it from here on.
        config: Sharding, precision, optimizer.
        constant: Names of parameters that nobody changes, and no state holds; they may be on a
            device already, and shared with another engine below ZeRO stage 3.
        average_decay: Of an average that is kept of what the optimizer moves; None: none is.

    `join_ranks` comes first, in a group of one rank too.
    """

    def __init__(
        self,
        module: nn.Module,
        config: DeepSpeedConfig,
        constant: Collection[str] = (),
        average_decay: float | None = None,
    ) -> None:
        self._config = config
        self._constant = frozenset(constant)
        self._stage = zero_stage(config)
        self.rank = torch.distributed.get_rank()
        self.world_size = torch.distributed.get_world_size()
        self._deepspeed = import_deepspeed()
        if config.gradient_checkpointing:
            keep_no_activations(module)
        Parting(config).take(module)
        trained = [p for p in module.parameters() if p.requires_grad]
        self._engine: Any
        self._engine, *_ = self._deepspeed.initialize(
            model=module,
            model_parameters=trained,
            config=settings(config),
            dist_init_required=False,
        )
        self._trained = trained
        self._average: WeightAverage | None = None
        if average_decay is not None:
            self._average = WeightAverage(self._masters, average_decay)
        self._is_alone = self._stage == 0 and self.world_size == 1
        self._rounds = rounds_products(config.dtype, config.matmul_dtype, self.device)
        if self._rounds:
            attend_in_float32(module)
        at_once = threads_for_passes(module, config.torch_threads, self.device)
        if self._stage == 3:
            at_once = 1  # a pass gathers weights and lets them go
        self.passes = SideBySide(at_once)
        """Runs this rank's passes, where they change nothing in any order."""
        if self.device.type == "cpu":
            torch.set_num_threads(config.torch_threads // at_once)

    @property
    def module(self) -> Any:
        """The module; calling it is a collective under ZeRO-3, and rounds no products."""
        return self._engine.module

    @property
    def device(self) -> torch.device:
        """Where inputs belong."""
        return torch.device(self._engine.device)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the module forward, for a backward pass to come; see `matmul_dtype`."""
        with products_rounded(self._rounds):
            if self.passes.num_threads > 1:
                return self.module(*args, **kwargs)  # what DeepSpeed counts is one thread's
            return self._engine(*args, **kwargs)

    def share(self, indices: Tensor) -> Tensor:
        """Return this rank's rows of a batch: every W-th, so that ranks get equally many."""
        return indices[self.rank :: self.world_size]

    def accumulate(self, passes: Sequence[Callable[[], tuple[Tensor, T]]]) -> list[T]:
        """Add this rank's gradients of a batch, in passes; return what each tells, in order.

        The gradients are added up in that order too, whatever goes on at once.

        Args:
            passes: Each calls the engine and returns its loss, as `backward` has it, and what it
                tells; at least one.

        Raises:
            NotFinite: As `backward`.
        """
        if self.passes.num_threads == 1:
            return add_in_turn(passes, self.backward)

        def differentiated(run: Callable[[], tuple[Tensor, T]]) -> tuple[Tensor, T]:
            loss, says = run()
            return gradients(loss, self._trained), says

        found = self.passes.each([partial(differentiated, run) for run in passes])
        for number, (loss, _) in enumerate(found, start=1):
            self.backward(loss, is_last=number == len(passes))
        return [says for _, says in found]

    def backward(self, loss: Tensor, *, is_last: bool) -> None:
        """Add this rank's gradients of one micro-batch.

        Args:
            loss: A scalar: this rank's *sum* over its rows, divided by the count of the batch over
                all ranks. DeepSpeed averages gradients over ranks, hence the factor W inside.
            is_last: Whether `step` follows; gradients meet then.

        Raises:
            NotFinite: The loss is NaN or infinite, on the one rank there is; nothing was changed.
                With several, the others wait for this rank in a collective: it goes on with
                gradients that are NaN, and all ranks learn of it at once in `step`.
        """
        if not bool(torch.isfinite(loss)):
            if self.world_size == 1:
                raise NotFinite(f"the loss on rank {self.rank} is {loss.item()}")
            loss = loss * torch.nan
        # One rank has nobody to meet, and would copy all gradients to and fro for it.
        self._engine.set_gradient_accumulation_boundary(is_last and not self._is_alone)
        self._engine.backward(loss * self.world_size)

    def step(self, lr: float) -> float:
        """Take one optimizer step and return the gradient norm before clipping.

        Raises:
            NotFinite: A gradient is NaN or infinite.
        """
        for group in self._engine.optimizer.param_groups:
            group["lr"] = lr
        forget_powers(engine_state.adam_of(self._engine.optimizer), self.device)
        if self._stage == 0:
            # DeepSpeed's plain path clips without telling the norm; so it is left to PyTorch.
            norm = float(nn.utils.clip_grad_norm_(self._trained, self._config.max_grad_norm))
            _check_norm(norm)
            self._engine.set_gradient_accumulation_boundary(True)
            self._engine.step()
            return norm
        self._engine.step()
        norm = float(self._engine.get_global_grad_norm())
        _check_norm(norm)
        return norm

    def discard_gradients(self) -> None:
        """Forget what `backward` has added up since the last step, as after a NotFinite."""
        self._engine.optimizer.zero_grad(set_to_none=True)
        self._engine.module.zero_grad(set_to_none=True)
        engine_state.forget_sums(self._engine.optimizer)

    def gathered(self, rows: Tensor) -> Tensor:
        """Return the rows of all ranks in batch order, undoing `share`: [N, …] from [N/W, …]."""
        if self.world_size == 1:
            return rows
        shares = [torch.empty_like(rows) for _ in range(self.world_size)]
        torch.distributed.all_gather(shares, rows.contiguous())
        return torch.stack(shares, dim=1).flatten(0, 1)

    def summed(self, x: Tensor) -> Tensor:
        """Return the sum of `x` over all ranks."""
        total = x.clone()
        torch.distributed.all_reduce(total)
        return total

    def whole_tensors(self, *, with_constant: bool = True) -> LazyTensors:
        """Return the whole model by state-dict name, each tensor to be asked for by every rank.

        On rank 0 each is a copy on the host, never an empty shard of ZeRO-3; nothing elsewhere.

        Args:
            with_constant: Whether what nobody changes is wanted too.
        """
        return self._lazily(self._whole_copy, frozenset() if with_constant else self._constant)

    def update_average(self) -> None:
        """Take the weights as they stand into the average, where one is kept."""
        if self._average is not None:
            self._average.update(self._masters)

    @contextmanager
    def averaged_tensors(self) -> Iterator[LazyTensors | None]:
        """Lend `whole_tensors` with the average in the place of what is trained.

        It is in the type of the weights. Nothing is changed; None where no average is kept.
        """
        if self._average is None:
            yield None
            return
        with self._average.in_place_of(self._masters):
            yield self._lazily(self._whole_master, frozenset())

    @property
    def _masters(self) -> list[Tensor]:
        return engine_state.masters(self._engine.optimizer)

    def _lazily(
        self, whole_of: Callable[[nn.Parameter], Tensor], left_out: Collection[str]
    ) -> LazyTensors:
        """Return the whole model, by a collective that gives one parameter whole."""
        wanted = self.module.state_dict(keep_vars=True)
        held: dict[str, Tensor] = {name: x for name, x in wanted.items() if name not in left_out}

        def make(name: str) -> Tensor:
            tensor = held[name]
            if isinstance(tensor, nn.Parameter):
                return whole_of(tensor)
            return self._on_host(tensor, tensor.dtype)

        shapes = {name: outline(x, getattr(x, "ds_shape", None)) for name, x in held.items()}
        return LazyTensors(shapes, make)

    def snapshot(self) -> dict[str, Tensor]:
        """Return a copy of this rank's `state`, on the host."""
        return engine_state.copied(self.state())

    def state(self) -> dict[str, Tensor]:
        """Return this rank's share of weights, optimizer, average and random state, as they stand.

        See `engine_state`. The next step changes them.
        """
        state = engine_state.state_of(self._engine, self._constant)
        return state if self._average is None else state | self._average.state()

    def restore(self, state: dict[str, Tensor]) -> None:
        """Take back what `snapshot` gave on this rank, bit for bit. Every rank must come.

        Raises:
            KeyError: The state is of an engine of another stage, type or number of ranks.
        """
        engine_state.restore(self._engine, state, self._constant)
        if self._average is not None:
            self._average.restore(state)

    def rest(self) -> None:
        """Put weights, gradients, optimizer and average on the host, and free what passes held.

        By ZeRO 2: DeepSpeed moves what it spreads there. Comes between two steps, and `wake` before
        anything else.
        """
        on_gpu = self.device.type != "cpu"
        self._engine.offload_states(pin_memory=on_gpu)
        self._move_others(torch.device("cpu"))
        if on_gpu:
            torch.cuda.empty_cache()

    def wake(self) -> None:
        """Put all of it back on the device, bit for bit as it was."""
        self._engine.reload_states()
        self._move_others(self.device)

    def _move_others(self, device: torch.device) -> None:
        """Move what DeepSpeed does not: parameters that nobody trains, and the average."""
        for parameter in self.module.parameters():
            if not parameter.requires_grad:
                parameter.data = parameter.data.to(device)
        if self._average is not None:
            self._average.move_to(device)

    def close(self) -> None:
        """Let go of the model and the optimizer's memory. The process group stays.

        May be called twice.
        """
        self.passes.close()
        if self._engine is not None:
            ended(self._engine)
        self._engine, self._trained = None, []

    def _whole_copy(self, parameter: nn.Parameter) -> Tensor:
        """Return a copy of a whole parameter on rank 0's host, nothing elsewhere."""
        with self._deepspeed.zero.GatheredParameters([parameter], enabled=self._stage == 3):
            return self._on_host(parameter, parameter.dtype)

    def _whole_master(self, parameter: nn.Parameter) -> Tensor:
        """Return as much of what the optimizer moves of a parameter, in the parameter's type."""
        if self._stage == 0 or not parameter.requires_grad:
            return self._whole_copy(parameter)
        master = self._deepspeed.utils.safe_get_full_fp32_param(parameter)
        return self._on_host(master, parameter.dtype)

    def _on_host(self, whole: Tensor, dtype: torch.dtype) -> Tensor:
        """Return a copy on rank 0's host, and nothing of it elsewhere."""
        if self.rank != 0:
            return torch.empty(0)
        assert whole.numel() > 0, "it was not gathered"
        return whole.detach().to("cpu", dtype, copy=True).contiguous()


def _check_norm(norm: float) -> None:
    if norm == float("inf") or norm != norm:
        raise NotFinite(f"the gradient norm is {norm}")
