"""What the weight paths between devices share: vLLM's words for the tensors of one version."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor


def described(tensors: Mapping[str, Tensor]) -> dict[str, object]:
    """Return names, types and shapes as vLLM's weight-transfer engines take them."""
    return {
        "names": list(tensors),
        "dtype_names": [str(tensor.dtype).removeprefix("torch.") for tensor in tensors.values()],
        "shapes": [list(tensor.shape) for tensor in tensors.values()],
    }


def num_bytes(tensors: Mapping[str, Tensor]) -> int:
    """Return how much memory tensors take."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
