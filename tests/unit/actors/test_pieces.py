"""Tensors are put together of a file's pieces, wherever it was cut."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save

from actors.pieces import Assembly
from protocol.errors import BundleCorrupt
from tests.support.stored import in_pieces

TENSORS = {
    "table": torch.arange(30, dtype=torch.float32).view(2, 15),
    "head": torch.arange(7, dtype=torch.bfloat16),
    "none": torch.zeros(0, 3),
    "scaling": torch.tensor(0.5, dtype=torch.float64),
}


def pieces_of(piece_bytes: int) -> list[bytes]:
    return in_pieces(save(TENSORS), piece_bytes)


@pytest.mark.parametrize("piece_bytes", [1, 7, 8, 120, 10_000])
def test_each_tensor_comes_with_the_piece_that_has_its_last_byte(piece_bytes: int) -> None:
    header, *pieces = pieces_of(piece_bytes)
    assembly = Assembly(header)
    assert set(assembly.names) == set(TENSORS)
    found = dict(assembly.take(b""))
    for piece in pieces:
        assert not assembly.is_whole
        found |= dict(assembly.take(piece))
    assert assembly.is_whole
    assert found.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor)


def test_tensors_do_not_hold_the_pieces_they_came_in() -> None:
    header, piece = pieces_of(10_000)
    for _, tensor in Assembly(header).take(piece):
        assert tensor.untyped_storage().nbytes() == tensor.numel() * tensor.element_size()


def test_bytes_without_a_tensor_are_refused() -> None:
    header, piece = pieces_of(10_000)
    with pytest.raises(BundleCorrupt, match="3 bytes that belong to no tensor"):
        Assembly(header).take(piece + b"abc")
    with pytest.raises(BundleCorrupt, match="begin otherwise"):
        Assembly(piece)
