"""The actors' end of the weight path: from an announcement to bytes that were checked."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from io import BufferedIOBase
from pathlib import Path

from protocol import safetensors_header
from protocol.errors import BundleCorrupt, MissingError
from protocol.messages import (
    BroadcastWeights,
    DeviceTransfer,
    OpenedWeights,
    PolicyVersion,
    StoredWeights,
    WeightsFile,
)

Weights = Path | bytes | DeviceTransfer
"""A safetensors file, its bytes, or what was announced to this actor's engine."""


def open_weights(policy: PolicyVersion, actor_id: str) -> Weights:
    """Return a version's weights, checked against the digest of its announcement. Blocks.

    An object reference must have been resolved to bytes before. Device to device, the weights are
    what was announced to this actor.

    Raises:
        BundleCorrupt: The bytes are not those announced.
        MissingError: The learner no longer publishes this version.
    """
    match policy.weights:
        case WeightsFile(path=path, sha256=sha256):
            return _checked_file(policy.version, Path(path), sha256)
        case StoredWeights(stored=bytes(content), sha256=sha256):
            _check_digest(policy.version, sha256, io.BytesIO(content))
            return content
        case StoredWeights(stored=stored):
            raise TypeError(f"expected safetensors bytes, got {type(stored).__name__}")
        case OpenedWeights(transfers=transfers) | BroadcastWeights(transfers=transfers):
            return transfers[actor_id]


def transfer_info(weights: Weights) -> Mapping[str, object]:
    """Return what the engine's weight-transfer backend is told of an update."""
    if isinstance(weights, Path):
        return {"path": str(weights)}
    if isinstance(weights, bytes):
        return {"content": weights}
    return weights.update_info


def tensor_names(weights: Weights) -> frozenset[str]:
    """Return the names of the tensors in a safetensors file or its bytes; else nothing."""
    if isinstance(weights, Path):
        with weights.open("rb") as file:
            return safetensors_header.tensor_names(file, weights.stat().st_size)
    if isinstance(weights, bytes):
        return safetensors_header.tensor_names(io.BytesIO(weights), len(weights))
    return frozenset()


def _checked_file(version: int, path: Path, sha256: str) -> Path:
    try:
        with path.open("rb") as file:
            _check_digest(version, sha256, file)
    except FileNotFoundError:
        raise MissingError(
            f"{path} no longer holds policy version {version}: "
            "load a newer one, or let the learner keep more versions"
        ) from None
    return path


def _check_digest(version: int, sha256: str, file: BufferedIOBase) -> None:
    digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != sha256:
        raise BundleCorrupt(
            f"the weights of policy version {version} hash to {digest[:12]}, "
            f"{sha256[:12]} was announced"
        )
