"""What is checked before an engine starts: the folder, the memory, the environment, the bytes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import ValidationError

from actors.config import RolloutConfig
from actors.environment import set_engine_environment
from actors.memory import check_kv_cache
from actors.weights import Pieces, open_weights, tensor_names, updates
from protocol.errors import BundleCorrupt, MissingError, ResourceError
from protocol.messages import (
    BroadcastWeights,
    DeviceTransfer,
    OpenedWeights,
    PolicyVersion,
    WeightsFile,
    WeightsRef,
)
from tests.support.fake_engine import fake_weights
from tests.support.messages import make_policy
from tests.support.stored import stored_weights

MIB = 2**20


def test_the_cache_must_hold_one_sequence() -> None:
    # 100 tokens take 4 blocks of 32; at 2**20 bytes a token that is 128 MiB, 0.125 GiB.
    shape = {"context_length": 100, "block_size": 32, "bytes_per_token": MIB}
    check_kv_cache(0.125, **shape, free_bytes=None)
    with pytest.raises(ResourceError, match=r"at least 0\.1250"):
        check_kv_cache(0.12, **shape, free_bytes=None)


def test_the_cache_must_fit_in_free_memory() -> None:
    shape = {"context_length": 32, "block_size": 32, "bytes_per_token": 1024}
    check_kv_cache(2.0, **shape, free_bytes=2048 * MIB)
    with pytest.raises(ResourceError, match=r"2\.0 GiB of memory are free"):
        check_kv_cache(2.5, **shape, free_bytes=2048 * MIB)


def test_a_cache_left_to_vllm_is_not_checked() -> None:
    check_kv_cache(0, context_length=10**9, block_size=1, bytes_per_token=10**9, free_bytes=0)


def test_the_environment_obeys_the_config() -> None:
    environment = {"VLLM_CPU_KVCACHE_SPACE": "40", "PATH": "/bin"}
    set_engine_environment(environment, RolloutConfig(torch_threads=3))
    assert environment["OMP_NUM_THREADS"] == "3"
    assert environment["TORCHDYNAMO_DISABLE"] == "1"
    assert environment["PATH"] == "/bin"
    assert "VLLM_CPU_KVCACHE_SPACE" not in environment


def test_compiled_engines_may_compile() -> None:
    environment: dict[str, str] = {}
    set_engine_environment(environment, RolloutConfig(enforce_eager=False))
    assert "TORCHDYNAMO_DISABLE" not in environment


def test_an_unknown_transport_is_refused() -> None:
    with pytest.raises(ValidationError, match="weight_transport"):
        RolloutConfig.model_validate({"weight_transport": "pigeon"})


def published(weights: WeightsRef) -> PolicyVersion:
    return replace(make_policy(4), weights=weights)


async def test_pieces_from_the_object_store_are_checked() -> None:
    ref = stored_weights(fake_weights(1))
    assert await open_weights(published(ref), "rollout-0") == Pieces(4, ref.stored)
    with pytest.raises(BundleCorrupt, match="policy version 4"):
        await open_weights(published(replace(ref, stored=ref.stored[:-1])), "rollout-0")


async def test_a_file_that_is_gone_says_what_to_do(tmp_path: Path) -> None:
    ref = WeightsFile(path=str(tmp_path / "v4"), sha256="", num_bytes=0)
    with pytest.raises(MissingError, match="keep more versions"):
        await open_weights(published(ref), "rollout-0")


@pytest.mark.parametrize("kind", [OpenedWeights, BroadcastWeights])
async def test_device_transports_hand_on_what_was_announced_to_the_actor(
    kind: type[OpenedWeights | BroadcastWeights],
) -> None:
    announced = DeviceTransfer(init_info={"rank_offset": 3}, update_info={"names": []})
    other = DeviceTransfer(init_info={"rank_offset": 1}, update_info={"names": []})
    ref = kind(transfers={"rollout-0": other, "rollout-1": announced}, num_bytes=0)
    weights = await open_weights(published(ref), "rollout-1")
    assert weights is announced
    assert [told async for told in updates(weights)] == [{"names": []}]


async def test_tensor_names_come_from_the_header(tmp_path: Path) -> None:
    path = tmp_path / "w"
    path.write_bytes(fake_weights(1, lm_head=False))
    assert await tensor_names(path) == {"table"}
    pieces = Pieces(1, stored_weights(fake_weights(1)).stored)
    assert await tensor_names(pieces) == {"table", "lm_head.weight"}
    assert await tensor_names(DeviceTransfer(init_info={}, update_info={})) == frozenset()
