"""What the weight paths between devices share: vLLM's words for the tensors of one version."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from protocol.messages import WeightsRef


def described(tensors: Mapping[str, Tensor]) -> dict[str, object]:
    """Return names, types and shapes as vLLM's weight-transfer engines take them."""
    return {
        "names": list(tensors),
        "dtype_names": [str(tensor.dtype).removeprefix("torch.") for tensor in tensors.values()],
        "shapes": [list(tensor.shape) for tensor in tensors.values()],
    }


def announced(
    transport: str, tensors: Mapping[str, Tensor], payload: Mapping[str, object]
) -> WeightsRef:
    """Return the announcement of a version that travels from device to device.

    It has no digest: the probe after the load is what proves it.

    Args:
        transport: "nccl" or "ipc".
        tensors: Of the version.
        payload: By actor id, what that actor's engine is told.
    """
    return WeightsRef(
        transport=transport,
        location="",
        payload=payload,
        sha256="",
        num_bytes=sum(tensor.numel() * tensor.element_size() for tensor in tensors.values()),
    )
