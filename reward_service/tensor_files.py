"""Writing tensors: one after the other, and what can go wrong with the disk meanwhile.

A safetensors file is a length of 8 bytes, little-endian; a JSON object of that many bytes, which
for each tensor names type, shape and the first and last byte; then the bytes, without gaps. The
library writes one from the bytes of all its tensors.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import torch
from safetensors import SafetensorError
from torch import Tensor

from protocol.files import writing
from protocol.safetensors_header import METADATA
from reward_service.lazy_tensors import in_order, outlines_of

_TYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}

_SYSTEM_CODE = re.compile(r"\((?:os error|.*\bcode:) (\d+)")
"""Finds the number of a system error in the words of the library: "(os error 28)"."""


@contextmanager
def writing_tensors(path: Path, mend: str) -> Iterator[None]:
    """Write files of tensors and others beside them.

    Args:
        path: The folder that is made whole.
        mend: What to do where it cannot be written.

    Raises:
        DiskFull: The disk is full, or a quota or limit reached.
        ResourceError: The disk is read-only, or this user may not write there.
    """
    with writing(path, mend):
        try:
            yield
        except SafetensorError as error:
            code = _SYSTEM_CODE.search(str(error))
            if code is None:
                raise
            number = int(code[1])
            raise OSError(number, os.strerror(number), str(path)) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What `write_tensors` wrote."""

    sha256: str
    """In hex."""
    num_bytes: int


def write_tensors(file: BinaryIO, tensors: Mapping[str, Tensor]) -> Written:
    """Write tensors as a safetensors file, holding one of them at a time on the host.

    What shares memory is written under each of its names. Raises OSError where the file refuses.

    Args:
        file: At its beginning.
        tensors: On any device; each is asked for once, in the order of `LazyTensors`.
    """
    outlines = in_order(outlines_of(tensors))
    digest = hashlib.sha256()
    header = _header(outlines)
    file.write(header)
    digest.update(header)
    num_bytes = len(header)
    for name, outline in outlines.items():
        tensor = tensors[name].detach().cpu()
        assert (tensor.shape, tensor.dtype) == (outline.shape, outline.dtype), name
        content = tensor.reshape(-1).contiguous().view(torch.uint8).numpy().data
        file.write(content)
        digest.update(content)
        num_bytes += len(content)
    return Written(sha256=digest.hexdigest(), num_bytes=num_bytes)


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
