"""Whether nodes of a cluster have room for what Ray has placed on them."""

from __future__ import annotations

import pytest

from cluster.config import RunConfig
from cluster.planning.needs import GIB
from cluster.planning.rooms import Room
from cluster.starting.node_rooms import NodeRooms
from protocol.errors import ResourceError
from tests.support.plans import SHAPES, config

CACHE_GIB = 10


@pytest.fixture
def run() -> RunConfig:
    """Of 7.6 billion weights, on the CPU: 30 GB of them in an engine beside its cache."""
    return config(
        policy={"path": str(SHAPES / "qwen2.5-7b")},
        rollouts={"num_actors": 2, "kv_cache_gib": CACHE_GIB},
        learner={"dtype": "bfloat16"},
    )


def rooms(run: RunConfig, **host_gib: int) -> NodeRooms:
    async def measure(node: str) -> Room:
        return Room(name=f"{node}.example", host_bytes=host_gib[node] * GIB, shared_bytes=GIB)

    return NodeRooms(run, measure)


async def test_each_node_has_room_for_what_is_on_it(run: RunConfig) -> None:
    large = rooms(run, a=1_000, b=100, c=1_000)
    await large.seat_policy(["a"], ["b", "b"], "object_store")
    await large.seat_trainer(["c"])


async def test_a_node_that_is_too_small_is_named_with_what_is_on_it_and_what_to_change(
    run: RunConfig,
) -> None:
    small = rooms(run, a=1_000, b=60)
    with pytest.raises(ResourceError) as caught:
        await small.seat_policy(["a"], ["b", "b"], "object_store")
    said = str(caught.value)
    assert "on the node b.example than it can hold: it has 60.0 GiB of memory" in said
    assert "rollout actor 0 (" in said
    assert "rollout actor 1 (" in said
    assert "learner" not in said
    assert "`andon plan CONFIG.toml`" in said
    spread = rooms(run, a=1_000, b=60, c=60)
    await spread.seat_policy(["a"], ["b", "c"], "object_store")


async def test_who_is_placed_later_must_fit_beside_those_before(run: RunConfig) -> None:
    both = rooms(run, a=260, b=100)
    await both.seat_policy(["a"], ["b", "b"], "object_store")
    with pytest.raises(ResourceError, match=r"learner rank 0 \(.*reward trainer rank 0 \("):
        await both.seat_trainer(["a"])


async def test_weights_that_stay_on_a_node_must_have_room_in_its_shared_memory(
    run: RunConfig,
) -> None:
    one = rooms(run, a=1_000)
    with pytest.raises(ResourceError, match=r"a.example .*: /dev/shm has 1.0 GiB"):
        await one.seat_policy(["a"], ["a"], "shared_memory")
    await rooms(run, a=1_000).seat_policy(["a"], ["a"], "object_store")


async def test_alone_on_a_machine_nobody_is_asked(run: RunConfig) -> None:
    alone = NodeRooms(run, None)
    await alone.seat_policy(["a"], ["a"], "shared_memory")
    await alone.seat_trainer(["a"])
