"""Publishing weights: whole files, true digests, the last few versions."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch
from safetensors.torch import load, load_file

from learners.weights import KEPT_VERSIONS, ObjectStorePublisher, SharedMemoryPublisher
from protocol.errors import VersionError

SHARED = torch.arange(6.0).view(2, 3)
TIED = {"transformer.wte.weight": SHARED, "lm_head.weight": SHARED}


def test_shared_memory_holds_tied_tensors_under_each_name(tmp_path: Path) -> None:
    ref = SharedMemoryPublisher(tmp_path / "run").publish(0, TIED)
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
    assert not (tmp_path / "run").exists()


def test_a_learner_that_runs_further_ahead_keeps_more(tmp_path: Path) -> None:
    publisher = SharedMemoryPublisher(tmp_path / "run", kept_versions=5)
    refs = [publisher.publish(version, TIED) for version in range(6)]
    assert [Path(ref.path).exists() for ref in refs] == [False] + [True] * 5


def test_object_store_gets_the_bytes() -> None:
    stored: list[bytes] = []

    def put(payload: bytes) -> int:
        stored.append(payload)
        return len(stored)

    publisher = ObjectStorePublisher(put)
    ref = publisher.publish(7, TIED)
    assert ref.stored == 1
    assert ref.sha256 == hashlib.sha256(stored[0]).hexdigest()
    assert torch.equal(load(stored[0])["lm_head.weight"], SHARED)


def test_a_version_never_comes_twice(tmp_path: Path) -> None:
    publisher = SharedMemoryPublisher(tmp_path / "run")
    publisher.publish(3, TIED)
    with pytest.raises(VersionError, match="3 came after 3"):
        publisher.publish(3, TIED)
