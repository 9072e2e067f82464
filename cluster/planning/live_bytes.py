"""The memory that tensors hold while code runs, counted by PyTorch's own dispatch of operations.

On the meta device operations compute shapes and nothing else, so that the passes of a model of any
size can be run, and what they would hold counted, in the memory of its Python objects.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of all tensors of one device that were made inside it and are still held.

    As `torch.distributed._tools.mem_tracker` does; memory that one kernel takes and gives back is
    not seen. On the meta device no value is known: a question about one is answered with yes, since
    all that is asked here is whether a mask masks nothing.

    Args:
        device: Its type, e.g. "meta".
        known: Tensors that were there before, and count for nothing.
    """

    def __init__(self, device: str, known: Iterable[Tensor] = ()) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.held = 0
        self.peak = 0
        self._device = device
        self._storages: dict[int, tuple[int, object]] = {}
        for tensor in known:
            # Kept alive, so that nothing new takes its place and its number.
            storage = tensor.untyped_storage()
            self._storages[storage._cdata] = (0, storage)

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[Any],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run an operation and count what it returns."""
        if func is torch.ops.aten._local_scalar_dense.default and args[0].is_meta:
            return True
        result = func(*args, **(kwargs or {}))
        for each in (result,) if isinstance(result, Tensor) else tree_leaves(result):
            if isinstance(each, Tensor) and each.device.type == self._device:
                self._count(each)
        return result

    def _count(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        number = storage._cdata
        if number in self._storages:
            return
        size = storage.nbytes()
        self._storages[number] = (size, weakref.ref(storage, lambda _: self._forget(number)))
        self.held += size
        self.peak = max(self.peak, self.held)

    def _forget(self, number: int) -> None:
        self.held -= self._storages.pop(number)[0]


@contextmanager
def fast_attention() -> Iterator[None]:
    """Have attention keep on the meta device what a GPU's fast kernels keep.

    Left to itself PyTorch takes the plain way there, with all weights of attention at once. The
    function is replaced in its module for the time: a mode would not be asked by what computes
    layers again in the backward pass.
    """
    real = functional.scaled_dot_product_attention

    def by_shape(query: Tensor, *others: Any, **options: Any) -> Any:
        if not query.is_meta:
            return real(query, *others, **options)
        return _Attention.apply(query, *others, options.get("attn_mask"))  # type: ignore[no-untyped-call]

    functional.scaled_dot_product_attention = by_shape
    try:
        yield
    finally:
        functional.scaled_dot_product_attention = real


@contextmanager
def grouped_products() -> Iterator[None]:
    """Have the products of experts go by their shapes on the meta device, whatever their type.

    PyTorch's own, each row by the matrix of its expert, takes nothing but bfloat16 there.
    """
    real = functional.grouped_mm

    def by_shape(rows: Tensor, experts: Tensor, **options: Any) -> Any:
        if not rows.is_meta:
            return real(rows, experts, **options)
        return _GroupedProduct.apply(rows, experts)  # type: ignore[no-untyped-call]

    functional.grouped_mm = by_shape  # type: ignore[assignment]
    try:
        yield
    finally:
        functional.grouped_mm = real


class _GroupedProduct(torch.autograd.Function):
    """Rows [N, K], each by one of the matrices [E, K, D] of E experts: [N, D]; both are kept."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, experts: Tensor) -> Tensor:
        ctx.save_for_backward(rows, experts)
        return rows.new_empty(len(rows), experts.shape[-1])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        rows, experts = ctx.saved_tensors
        return torch.empty_like(rows), torch.empty_like(experts)


class _Attention(torch.autograd.Function):
    """Causal attention by its shapes: [B, H, T, D] of query, key and value, and a mask or none.

    Kept for the backward pass are these, the result, and the logarithm of each row's sum in
    float32 (Dao 2023, FlashAttention-2, algorithms 1 and 2); a mask goes along in the type of the
    query.
    """

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
        batch, heads, tokens, _ = query.shape
        # As the kernels lay it out: what follows takes it as [B, T, H·D] without a copy.
        result = query.new_empty(batch, tokens, heads, value.shape[-1]).transpose(1, 2)
        sums = query.new_empty(query.shape[:-1], dtype=torch.float32)
        bias = () if mask is None else (torch.empty_like(mask, dtype=query.dtype),)
        ctx.save_for_backward(query, key, value, result, sums, *bias)
        return result

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, *_ = ctx.saved_tensors
        # Gradients of the query are summed over blocks in float32, and rounded at the end.
        sums = torch.empty_like(query, dtype=torch.float32)
        del sums
        return torch.empty_like(query), torch.empty_like(key), torch.empty_like(value), None
