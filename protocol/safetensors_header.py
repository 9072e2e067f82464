"""What a safetensors file says it holds, checked against its length; no tensor is read.

The format: a length of 8 bytes, little-endian; a JSON object of that many bytes, which for each
tensor names type, shape and the first and last byte; then the bytes, without gaps.
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path
from typing import Any

from protocol.errors import InputError

METADATA = "__metadata__"
TORCH_NAMES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U8": "uint8",
    "BOOL": "bool",
}
"""What PyTorch calls the types that weights are of."""
_LONGEST_HEADER = 100_000_000
"""Bytes of the longest header: the library's own limit."""
_BITS = {
    **dict.fromkeys(("F64", "I64", "U64", "C64"), 64),
    **dict.fromkeys(("F32", "I32", "U32"), 32),
    **dict.fromkeys(("F16", "BF16", "I16", "U16"), 16),
    **dict.fromkeys(("BOOL", "I8", "U8", "F8_E4M3", "F8_E5M2", "F8_E8M0"), 8),
}
"""Bits of an element, by type; of other types the length is taken as it is said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredTensor:
    """One tensor of a file."""

    dtype: str
    """Type of the elements, e.g. "F32"."""
    shape: tuple[int, ...]
    num_bytes: int


def stored_tensors(path: Path) -> dict[str, StoredTensor]:
    """Return the tensors of a safetensors file by name.

    Raises:
        InputError: It is no such file, or is cut short or otherwise not whole.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            header = _read_header(file, size)
    except ValueError as error:
        raise InputError(
            f"{path} is not a safetensors file ({error}): save or fetch the model again"
        ) from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    try:
        return _filling(header.content, size - header.end)
    except ValueError as error:
        raise InputError(f"{path}: {error}: save or fetch the model again") from error


def tensor_names(file: BufferedIOBase, size: int) -> frozenset[str]:
    """Return the names of the tensors in an open file of `size` bytes.

    Raises:
        ValueError: It is no safetensors file.
    """
    return frozenset(_read_header(file, size).content) - {METADATA}


def tensors_in_turn(header: bytes) -> dict[str, StoredTensor]:
    """Return the tensors of a file by name, in the order in which their bytes follow its header.

    Args:
        header: Its length and the JSON object, and nothing more.

    Raises:
        ValueError: It is no header of a safetensors file.
    """
    return _checked(_read_header(io.BytesIO(header), len(header)).content)[0]


@dataclass(frozen=True, slots=True)
class _Header:
    content: Mapping[str, Any]
    end: int
    """Byte of the file at which the tensors begin."""


def _read_header(file: BufferedIOBase, size: int) -> _Header:
    length = int.from_bytes(file.read(8), "little")
    if not 0 < length <= min(size - 8, _LONGEST_HEADER):
        raise ValueError("its header is not where it should be")
    try:
        content = json.loads(file.read(length))
    except (ValueError, RecursionError):
        raise ValueError("its header is not JSON") from None
    if not isinstance(content, dict):
        raise ValueError("its header is not a JSON object")
    return _Header(content, 8 + length)


def _filling(header: Mapping[str, Any], available: int) -> dict[str, StoredTensor]:
    """Return the tensors, whose bytes must fill the file.

    Raises:
        ValueError: They do not, or one is not described as the format asks.
    """
    found, reached = _checked(header)
    if reached > available:
        raise ValueError(
            f"the file is cut short: {reached:,} bytes of tensors are named and {available:,} are "
            "there"
        )
    if reached < available:
        raise ValueError(f"{available - reached:,} bytes belong to no tensor")
    return found


def _checked(header: Mapping[str, Any]) -> tuple[dict[str, StoredTensor], int]:
    """Return the tensors in the order of their bytes, and the bytes of all.

    Raises:
        ValueError: They do not follow one another, or one is not described as the format asks.
    """
    described = {name: _described(name, x) for name, x in header.items() if name != METADATA}
    found: dict[str, StoredTensor] = {}
    reached = 0
    for name, (tensor, (first, end)) in sorted(described.items(), key=lambda each: each[1][1]):
        if first != reached:
            raise ValueError(f"tensor {name} does not follow the one before it")
        found[name], reached = tensor, end
    return found, reached


def _described(name: str, entry: object) -> tuple[StoredTensor, tuple[int, int]]:
    fields = entry if isinstance(entry, dict) else {}
    dtype, shape, span = (fields.get(key) for key in ("dtype", "shape", "data_offsets"))
    if not isinstance(dtype, str) or not _are_sizes(shape) or not _are_sizes(span, 2):
        raise ValueError(f"tensor {name} is not described by dtype, shape and data_offsets")
    assert isinstance(shape, list)
    assert isinstance(span, list)
    bits = _BITS.get(dtype)
    length = span[1] - span[0]
    if length < 0 or (bits is not None and 8 * length != bits * math.prod(shape)):
        raise ValueError(f"tensor {name} of {dtype} {shape} cannot take {length:,} bytes")
    tensor = StoredTensor(dtype=dtype, shape=tuple(shape), num_bytes=length)
    return tensor, (span[0], span[1])


def _are_sizes(value: object, count: int | None = None) -> bool:
    return (
        isinstance(value, list)
        and (count is None or len(value) == count)
        and all(type(each) is int and 0 <= each < 2**63 for each in value)
    )
