"""All four weight paths keep the same promises to the learner."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
from safetensors.torch import load, load_file
from torch import Tensor

from learners.ipc_weights import IpcPublisher
from learners.nccl_weights import NcclPublisher
from learners.weights import ObjectStorePublisher, SharedMemoryPublisher
from protocol.messages import OpenedWeights, StoredWeights, WeightsFile, WeightsRef
from protocol.ports import PushingPublisher, WeightPublisher
from tests.support.fake_broadcast import FakeBroadcast
from tests.support.weight_publisher_contract import WeightPublisherContract


class TestSharedMemoryPublisher(WeightPublisherContract, of=SharedMemoryPublisher):
    @pytest.fixture
    def publisher(self, tmp_path: Path) -> SharedMemoryPublisher:
        return SharedMemoryPublisher(tmp_path / "run", kept_versions=2)

    def read(self, publisher: WeightPublisher, version: int, ref: WeightsRef) -> dict[str, Tensor]:
        assert isinstance(ref, WeightsFile)
        return dict(load_file(ref.path))


class TestObjectStorePublisher(WeightPublisherContract, of=ObjectStorePublisher):
    @pytest.fixture
    def publisher(self) -> ObjectStorePublisher:
        self._stored: list[bytes] = []

        def put(payload: bytes) -> int:
            self._stored.append(payload)
            return len(self._stored) - 1

        return ObjectStorePublisher(put, kept_versions=2, piece_bytes=10)

    def read(self, publisher: WeightPublisher, version: int, ref: WeightsRef) -> dict[str, Tensor]:
        assert isinstance(ref, StoredWeights)
        pieces = [self._stored[cast(int, each)] for each in ref.stored]
        assert len(pieces) > 2, "the header, and tensors in some"
        return dict(load(b"".join(pieces)))


class TestIpcPublisher(WeightPublisherContract, of=IpcPublisher):
    @pytest.fixture
    def publisher(self) -> IpcPublisher:
        self._opened: list[Tensor] = []

        def share(tensor: Tensor) -> dict[str, object]:
            self._opened.append(tensor)
            return {"GPU-1": len(self._opened) - 1}

        return IpcPublisher(["rollout-0"], 2, share=share, device="cpu")

    def read(self, publisher: WeightPublisher, version: int, ref: WeightsRef) -> dict[str, Tensor]:
        assert isinstance(ref, OpenedWeights)
        update: Any = ref.transfers["rollout-0"].update_info
        tensors = [self._opened[handle["GPU-1"]] for handle in update["ipc_handles"]]
        return dict(zip(update["names"], tensors, strict=True))


class TestNcclPublisher(WeightPublisherContract, of=NcclPublisher):
    @pytest.fixture
    def publisher(self) -> NcclPublisher:
        self._broadcast = FakeBroadcast()
        return NcclPublisher(self._broadcast, kept_versions=2, timeout_s=10)

    def read(self, publisher: WeightPublisher, version: int, ref: WeightsRef) -> dict[str, Tensor]:
        assert isinstance(publisher, PushingPublisher)
        publisher.send(version)
        return cast(dict[str, Tensor], dict(self._broadcast.sent[-1]))
