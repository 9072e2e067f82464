"""Safetensors files written one tensor at a time, against the library that reads them."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load, load_file, save
from torch import Tensor

from cluster.planning.live_bytes import LiveBytes
from protocol.safetensors_header import stored_tensors
from reward_service.lazy_tensors import LazyTensors, outline
from reward_service.tensor_files import write_tensors

TABLE = torch.arange(6.0).view(2, 3)
TENSORS = {
    "odd": torch.ones(3, dtype=torch.bfloat16),
    "table": TABLE,
    "tied": TABLE,
    "column": TABLE[:, 1],
    "number": torch.tensor(7),
    "scale": torch.tensor(0.5, dtype=torch.float64),
    "flags": torch.tensor([True, False, True]),
    "none": torch.empty(0, 4),
    "bytes": torch.arange(5, dtype=torch.uint8),
    "gewicht ü": torch.full((1,), float("nan")),
}


def test_the_library_reads_what_is_written(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    with path.open("wb") as file:
        written = write_tensors(file, TENSORS)
    content = path.read_bytes()
    assert written.num_bytes == len(content)
    assert written.sha256 == hashlib.sha256(content).hexdigest()
    found = load_file(path)
    assert found.keys() == TENSORS.keys() == stored_tensors(path).keys()
    for name, tensor in TENSORS.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name].nan_to_num(9), tensor.nan_to_num(9))
    with safe_open(path, framework="pt") as opened:
        assert opened.metadata() == {"format": "pt"}


def test_of_one_type_it_is_byte_for_byte_the_librarys_own() -> None:
    tensors = {f"layers.{number}.weight": torch.full((2, 3), number) for number in range(12)}
    assert written_bytes(tensors) == save(tensors, metadata={"format": "pt"})


def test_one_tensor_is_there_at_a_time() -> None:
    lazily = many_tensors()
    with LiveBytes("cpu") as live:
        with io.BytesIO() as file:
            write_tensors(file, lazily)
        assert live.peak == 4 * 1000
        taken = dict(lazily)
        assert live.peak == 4 * 1000 * len(taken)


def test_each_is_asked_for_once_in_one_order_whoever_takes_them() -> None:
    asked: list[str] = []
    lazily = LazyTensors(TENSORS, lambda name: asked.append(name) or TENSORS[name])  # type: ignore[func-returns-value]
    lazily.taken(written_bytes)
    taken, asked[:] = list(asked), []
    LazyTensors(TENSORS, lambda name: asked.append(name) or TENSORS[name]).taken(None)  # type: ignore[func-returns-value]
    assert taken == asked == list(lazily)
    assert sorted(asked) == sorted(TENSORS)


def test_where_whoever_takes_them_breaks_off_the_rest_is_asked_for() -> None:
    asked: list[str] = []
    lazily = LazyTensors(TENSORS, lambda name: asked.append(name) or TENSORS[name])  # type: ignore[func-returns-value]

    def take(tensors: Mapping[str, Tensor]) -> None:
        raise OSError(f"no room for {len(tensors[next(iter(tensors))].shape)}")

    with pytest.raises(OSError, match="no room"):
        lazily.taken(take)
    assert asked == list(lazily)


def test_those_under_a_prefix_have_shorter_names_and_make_no_others() -> None:
    asked: list[str] = []
    names = {"a.x": torch.ones(1), "a.y": torch.ones(2), "b.x": torch.ones(3)}
    lazily = LazyTensors(names, lambda name: asked.append(name) or names[name])  # type: ignore[func-returns-value]
    own = lazily.under("a.")
    assert {name: tuple(own[name].shape) for name in own} == {"x": (1,), "y": (2,)}
    assert asked == ["a.x", "a.y"]
    with pytest.raises(KeyError):
        own["b.x"]


def many_tensors() -> LazyTensors:
    shapes = {f"{number}": outline(torch.empty(1000)) for number in range(8)}
    return LazyTensors(shapes, lambda name: torch.full((1000,), float(name)))


def written_bytes(tensors: Mapping[str, Tensor]) -> bytes:
    with io.BytesIO() as file:
        write_tensors(file, tensors)
        content = file.getvalue()
    assert load(content).keys() == tensors.keys()
    return content
