"""The actors' end of the weight path: from an announcement to bytes that were checked."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from io import BufferedIOBase
from pathlib import Path
from typing import Any

from protocol import safetensors_header
from protocol.errors import BundleCorrupt, MissingError
from protocol.messages import PolicyVersion, WeightsRef

Weights = Path | bytes | Mapping[str, Any]
"""A safetensors file, its bytes, or what a device-to-device transport announced: the `init_info`
and `update_info` of vLLM's own weight-transfer engine."""


def open_weights(policy: PolicyVersion, actor_id: str) -> Weights:
    """Return a version's weights, checked against the digest of its announcement. Blocks.

    An object reference must have been resolved to bytes before. Device to device, the weights are
    what was announced to this actor.

    Raises:
        BundleCorrupt: The bytes are not those announced.
        MissingError: The learner no longer publishes this version.
    """
    ref = policy.weights
    if ref.transport == "shared_memory":
        path = Path(ref.location)
        try:
            with path.open("rb") as file:
                _check_digest(policy.version, ref, file)
        except FileNotFoundError:
            raise MissingError(
                f"{path} no longer holds policy version {policy.version}: "
                "load a newer one, or let the learner keep more versions"
            ) from None
        return path
    if ref.transport == "object_store":
        if not isinstance(ref.payload, bytes):
            raise TypeError(f"expected safetensors bytes, got {type(ref.payload).__name__}")
        _check_digest(policy.version, ref, io.BytesIO(ref.payload))
        return ref.payload
    if not isinstance(ref.payload, Mapping):
        raise TypeError(f"{ref.transport} needs a mapping, got {type(ref.payload).__name__}")
    announced: Mapping[str, Any] = ref.payload[actor_id]
    return announced


def transfer_info(weights: Weights) -> Mapping[str, Any]:
    """Return what the engine's weight-transfer backend is told of an update."""
    if isinstance(weights, Path):
        return {"path": str(weights)}
    if isinstance(weights, bytes):
        return {"content": weights}
    update_info: Mapping[str, Any] = weights["update_info"]
    return update_info


def tensor_names(weights: Weights) -> frozenset[str]:
    """Return the names of the tensors in a safetensors file or its bytes; else nothing."""
    if isinstance(weights, Path):
        with weights.open("rb") as file:
            return safetensors_header.tensor_names(file, weights.stat().st_size)
    if isinstance(weights, bytes):
        return safetensors_header.tensor_names(io.BytesIO(weights), len(weights))
    return frozenset()


def _check_digest(version: int, ref: WeightsRef, file: BufferedIOBase) -> None:
    digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != ref.sha256:
        raise BundleCorrupt(
            f"the weights of policy version {version} hash to {digest[:12]}, "
            f"{ref.sha256[:12]} was announced"
        )
