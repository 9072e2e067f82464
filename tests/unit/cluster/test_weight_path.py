"""Weights go where the learner and the actors are, or it is said at once why they cannot."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from actors.config import RolloutConfig, WeightTransportName
from cluster.starting.weight_path import check_one_gpu, transport_between
from protocol.errors import ConfigError, ResourceError


def test_what_is_chosen_by_itself_works_where_they_are() -> None:
    assert RolloutConfig().weight_transport == "auto"
    assert transport_between("auto", "a", ["a", "a"]) == "shared_memory"
    assert transport_between("auto", "a", ["a", "b"]) == "object_store"
    assert transport_between("auto", "a", ["b"]) == "object_store"


@pytest.mark.parametrize("wanted", ["shared_memory", "object_store", "nccl", "ipc"])
def test_what_was_asked_for_is_taken_on_one_node(wanted: WeightTransportName) -> None:
    assert transport_between(wanted, "a", ["a"]) == wanted


def test_shared_memory_of_two_nodes_is_refused_with_what_to_set() -> None:
    with pytest.raises(ConfigError, match=r"\(b, c\) than the learner \(a\): leave it at 'auto'"):
        transport_between("shared_memory", "a", ["a", "b", "c"])
    assert transport_between("object_store", "a", ["b"]) == "object_store"
    assert transport_between("nccl", "a", ["b"]) == "nccl"


def on(*gpus: str) -> Any:
    async def own() -> list[str]:
        return list(gpus)

    return SimpleNamespace(gpus=own, who="rollout actor rollout-0")


async def test_memory_is_opened_on_one_gpu_alone() -> None:
    await check_one_gpu(on("GPU 0 of node a"), [on("GPU 0 of node a")])
    with pytest.raises(ResourceError, match="GPU 0 of node a, rollout actor rollout-0 on GPU 1"):
        await check_one_gpu(on("GPU 0 of node a"), [on("GPU 1 of node a")])
    with pytest.raises(ResourceError, match="rollout-0 on none"):
        await check_one_gpu(on("GPU 0 of node a"), [on()])
