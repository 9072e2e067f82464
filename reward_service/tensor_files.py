"""Writing tensors as files, one after the other.

A safetensors file is a length of 8 bytes, little-endian; a JSON object of that many bytes, which
for each tensor names type, shape and the first and last byte; then the bytes, without gaps. The
library writes one from the bytes of all its tensors.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO

import torch
from torch import Tensor

from protocol.safetensors_header import METADATA, TORCH_NAMES
from reward_service.lazy_tensors import in_order, outlines_of

PIECE = 2**26
"""Bytes that come from a device at a time."""
_TYPES: dict[torch.dtype, str] = {getattr(torch, name): own for own, name in TORCH_NAMES.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What `write_tensors` wrote."""

    sha256: str
    """In hex."""
    num_bytes: int


def write_tensors(file: BinaryIO, tensors: Mapping[str, Tensor]) -> Written:
    """Write tensors as a safetensors file, holding one of them at a time.

    Of one that is on a device the host holds a piece at a time. What shares memory is written under
    each of its names. Raises OSError where the file refuses.

    Args:
        file: At its beginning.
        tensors: On any device; each is asked for once, in the order of `LazyTensors`.
    """
    digest, num_bytes = hashlib.sha256(), 0
    for content in _contents(tensors):
        file.write(content)
        digest.update(content)
        num_bytes += len(content)
        del content  # which holds its tensor
    return Written(sha256=digest.hexdigest(), num_bytes=num_bytes)


def cut(tensors: Mapping[str, Tensor], piece_bytes: int) -> Iterator[bytes]:
    """Give what `write_tensors` writes piece by piece, holding one piece and one tensor at a time.

    The header is the first by itself; what follows is cut wherever a piece is full, also within a
    tensor.

    Args:
        tensors: As `write_tensors` takes them.
        piece_bytes: Of every piece of tensors but the last.
    """
    contents = _contents(tensors)
    yield bytes(next(contents))
    piece = io.BytesIO()
    for content in contents:
        left = memoryview(content)
        while len(left) > 0:
            taken = piece.write(left[: piece_bytes - piece.tell()])
            left = left[taken:]
            if piece.tell() == piece_bytes:
                yield piece.getvalue()
                piece = io.BytesIO()
        del content, left  # which hold a tensor
    if piece.tell():
        yield piece.getvalue()


def _contents(tensors: Mapping[str, Tensor]) -> Iterator[bytes | memoryview]:
    """Give the header, then the bytes of all tensors."""
    outlines = in_order(outlines_of(tensors))
    yield _header(outlines)
    for name, outline in outlines.items():
        for piece in _pieces(tensors[name], outline):
            yield piece
            del piece  # which holds its tensor


def _pieces(tensor: Tensor, outline: Tensor) -> Iterator[memoryview]:
    assert (tensor.shape, tensor.dtype) == (outline.shape, outline.dtype), "it is as was said"
    flat = tensor.detach().reshape(-1).contiguous().view(torch.uint8)
    for piece in flat.split(PIECE):
        yield piece.cpu().numpy().data


def _header(outlines: Mapping[str, Tensor]) -> bytes:
    entries: dict[str, object] = {METADATA: {"format": "pt"}}
    reached = 0
    for name, each in outlines.items():
        first, reached = reached, reached + each.numel() * each.element_size()
        entries[name] = {
            "dtype": _TYPES[each.dtype],
            "shape": list(each.shape),
            "data_offsets": [first, reached],
        }
    content = json.dumps(entries, separators=(",", ":")).encode()
    content += b" " * (-len(content) % 8)  # so that what follows is aligned
    return len(content).to_bytes(8, "little") + content
