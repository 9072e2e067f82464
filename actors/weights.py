"""The actors' end of the weight path: from an announcement to bytes that were checked."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class Pieces:
    """A version's safetensors file in an object store, cut as `StoredWeights` says.

    To get a piece raises MissingError once the learner no longer publishes the version, or is gone
    with it.
    """

    version: int
    stored: tuple[object, ...]

    async def header(self) -> bytes:
        """Return the first."""
        return await self._fetched(self.stored[0])

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Give the pieces in turn; each is fetched when the one before was taken, and not kept."""
        for reference in self.stored:
            yield await self._fetched(reference)

    async def _fetched(self, reference: object) -> bytes:
        assert isinstance(reference, Awaitable), "what the store gave out is awaited"
        try:
            content = await reference
        except Exception as error:  # by which type a store says so is its own affair
            raise MissingError(
                f"the object store no longer holds policy version {self.version} "
                f"({type(error).__name__}): load a newer one, or let the learner keep more versions"
            ) from error
        assert isinstance(content, bytes)
        return content


Weights = Path | Pieces | DeviceTransfer
"""A safetensors file, one in pieces, or what was announced to this actor's engine."""


async def open_weights(policy: PolicyVersion, actor_id: str) -> Weights:
    """Return a version's weights, checked against the digest of its announcement.

    Pieces have been to this node by then, one at a time. Device to device, the weights are what was
    announced to this actor.

    Raises:
        BundleCorrupt: The bytes are not those announced.
        MissingError: The learner no longer publishes this version, or is gone with it.
    """
    match policy.weights:
        case WeightsFile(path=path, sha256=sha256):
            return await asyncio.to_thread(_checked_file, policy.version, Path(path), sha256)
        case StoredWeights(stored=stored, sha256=sha256):
            return await _checked_pieces(Pieces(policy.version, stored), sha256)
        case OpenedWeights(transfers=transfers) | BroadcastWeights(transfers=transfers):
            return transfers[actor_id]


async def updates(weights: Weights) -> AsyncIterator[dict[str, object]]:
    """Give what the engine's weight-transfer backend is told of an update, in turn."""
    match weights:
        case Path():
            yield {"path": str(weights)}
        case Pieces():
            async for piece in weights:
                yield {"piece": piece}
        case DeviceTransfer(update_info=update_info):
            yield dict(update_info)


async def tensor_names(weights: Weights) -> frozenset[str]:
    """Return the names of the tensors in a safetensors file or its pieces; else nothing."""
    match weights:
        case Path():
            with weights.open("rb") as file:
                return safetensors_header.tensor_names(file, weights.stat().st_size)
        case Pieces():
            return frozenset(safetensors_header.tensors_in_turn(await weights.header()))
        case DeviceTransfer():
            return frozenset()


async def _checked_pieces(pieces: Pieces, sha256: str) -> Pieces:
    digest = hashlib.sha256()
    async for piece in pieces:
        await asyncio.to_thread(digest.update, piece)
    _check_digest(pieces.version, sha256, digest.hexdigest())
    return pieces


def _checked_file(version: int, path: Path, sha256: str) -> Path:
    try:
        with path.open("rb") as file:
            _check_digest(version, sha256, hashlib.file_digest(file, "sha256").hexdigest())
    except FileNotFoundError:
        raise MissingError(
            f"{path} no longer holds policy version {version}: "
            "load a newer one, or let the learner keep more versions"
        ) from None
    return path


def _check_digest(version: int, sha256: str, digest: str) -> None:
    if digest != sha256:
        raise BundleCorrupt(
            f"the weights of policy version {version} hash to {digest[:12]}, "
            f"{sha256[:12]} was announced"
        )
