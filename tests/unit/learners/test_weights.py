"""Publishing weights: whole files, true digests, the last few versions."""

from __future__ import annotations

import hashlib
import tracemalloc
from pathlib import Path
from typing import cast

import pytest
import torch
from safetensors.torch import load_file

from cluster.planning.live_bytes import LiveBytes
from learners.weights import (
    KEPT_VERSIONS,
    PIECE_BYTES,
    ObjectStorePublisher,
    SharedMemoryPublisher,
)
from protocol.errors import VersionError
from reward_service.lazy_tensors import LazyTensors, outline
from reward_service.tensor_files import cut

SHARED = torch.arange(6.0).view(2, 3)
TIED = {"transformer.wte.weight": SHARED, "lm_head.weight": SHARED}


def test_shared_memory_holds_tied_tensors_under_each_name(tmp_path: Path) -> None:
    publisher = SharedMemoryPublisher(tmp_path / "run")
    ref = publisher.publish(0, TIED)
    payload = Path(ref.path).read_bytes()
    assert ref.sha256 == hashlib.sha256(payload).hexdigest()
    assert ref.num_bytes == len(payload)
    loaded = load_file(ref.path)
    assert set(loaded) == set(TIED)
    assert torch.equal(loaded["lm_head.weight"], SHARED)


def test_only_the_last_few_versions_stay(tmp_path: Path) -> None:
    publisher = SharedMemoryPublisher(tmp_path / "run")
    refs = [publisher.publish(version, TIED) for version in range(KEPT_VERSIONS + 2)]
    present = [Path(ref.path).exists() for ref in refs]
    assert present == [False, False] + [True] * KEPT_VERSIONS
    publisher.close()
    assert list(tmp_path.iterdir()) == []


def test_a_learner_that_runs_further_ahead_keeps_more(tmp_path: Path) -> None:
    publisher = SharedMemoryPublisher(tmp_path / "run", kept_versions=5)
    refs = [publisher.publish(version, TIED) for version in range(6)]
    assert [Path(ref.path).exists() for ref in refs] == [False] + [True] * 5


def test_object_store_gets_the_bytes_of_the_file_in_pieces(tmp_path: Path) -> None:
    stored: list[bytes] = []

    def put(payload: bytes) -> int:
        stored.append(payload)
        return len(stored)

    publisher = ObjectStorePublisher(put, piece_bytes=20)
    ref = publisher.publish(7, TIED)
    assert ref.stored == (1, 2, 3, 4)
    header, *pieces = stored
    assert len(header) == 8 + int.from_bytes(header[:8], "little")
    assert [len(piece) for piece in pieces] == [20, 20, 8]  # two tensors of 24 bytes
    in_files = SharedMemoryPublisher(tmp_path / "run")
    as_file = in_files.publish(7, TIED)
    assert b"".join(stored) == Path(as_file.path).read_bytes()
    assert (ref.sha256, ref.num_bytes) == (as_file.sha256, as_file.num_bytes)


def test_a_sender_has_one_weight_and_one_piece_at_a_time() -> None:
    shapes = {f"{number}": outline(torch.empty(100_000)) for number in range(50)}
    lazily = LazyTensors(shapes, lambda name: torch.full((100_000,), float(name)))
    most = 0

    def put(piece: bytes) -> int:
        nonlocal most
        most = max(most, tracemalloc.get_traced_memory()[0])
        return len(piece)

    publisher = ObjectStorePublisher(put, piece_bytes=500_000)
    tracemalloc.start()
    try:
        with LiveBytes("cpu") as live:
            ref = publisher.publish(0, lazily)
    finally:
        tracemalloc.stop()
    assert live.peak == 400_000
    assert most < 2 * 500_000
    assert sum(cast(int, each) for each in ref.stored) == ref.num_bytes > 20_000_000


def test_of_a_version_above_4_gib_no_value_is_ever_near_that() -> None:
    """What the engine's process is sent goes as one value, of which msgpack takes no more."""
    weight = torch.zeros(2**26)  # 256 MiB, the same each time
    outlines = {f"{number}": outline(weight) for number in range(20)}
    sizes = [len(piece) for piece in cut(LazyTensors(outlines, lambda _: weight), PIECE_BYTES)]
    assert sum(sizes[1:]) == 20 * 4 * 2**26 == 5 * 2**30
    assert max(sizes) == PIECE_BYTES < 2**32


def test_a_version_never_comes_twice(tmp_path: Path) -> None:
    publisher = SharedMemoryPublisher(tmp_path / "run")
    publisher.publish(3, TIED)
    with pytest.raises(VersionError, match="3 came after 3"):
        publisher.publish(3, TIED)
