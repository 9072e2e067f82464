"""What a node of a cluster has too little of, by what is certain alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cluster.planning.needs import GIB, Process
from cluster.planning.rooms import Room, lacks

ROOM = Room(name="n1", host_bytes=64 * GIB, shared_bytes=16 * GIB, gpu_bytes=(80 * GIB, 80 * GIB))


def process(
    name: str,
    gpus: float = 0.0,
    gib: int = 0,
    *,
    host: int = 0,
    shared: int = 0,
    offloaded: int = 0,
) -> Process:
    """Return one with so many GiB of weights, and of the rest."""
    return Process(
        name=name,
        part=name,
        gpus=gpus,
        model={"weights": gib * GIB},
        host=host * GIB,
        shared=shared * GIB,
        offloaded=offloaded * GIB,
    )


def test_what_fits_is_not_told_of() -> None:
    there = [process("a", 1, 80), process("b", 1, 70, offloaded=60), process("c", 0, 4, shared=16)]
    assert list(lacks(ROOM, there, uses_shared_memory=False)) == []


def test_memory_of_the_host_is_that_of_all_who_compute_or_offload_there() -> None:
    there = [process("a", 1, 70, offloaded=50), process("b", 0, 20), process("c", 1, 1, host=900)]
    (lack,) = lacks(ROOM, there, uses_shared_memory=False)
    assert lack == (
        "it has 64.0 GiB of memory, and 70.0 are wanted at least, by a (50.0), b (20.0)"
    )


def test_weights_in_shared_memory_need_room_there_and_are_memory_of_the_host_too() -> None:
    there = [process("a", 0, 30, shared=20), process("b", 0, 20)]
    shared, host = lacks(ROOM, there, uses_shared_memory=True)
    assert shared.startswith("/dev/shm has 16.0 GiB, and the policy versions")
    assert "64.0 GiB of memory, and 70.0" in host
    assert list(lacks(ROOM, there, uses_shared_memory=False)) == []


def test_a_gpu_holds_those_that_share_it() -> None:
    there = [process("a", 0.5, 50), process("b", 0.5, 40)]
    (lack,) = lacks(ROOM, there, uses_shared_memory=False)
    assert "has 80.0 GiB, and 90.0 are wanted by a, b" in lack
    assert list(lacks(ROOM, [process("a", 2, 81)], uses_shared_memory=False))


@pytest.mark.parametrize("kind", ["activations", "library"])
def test_what_is_not_certain_refuses_nobody(kind: str) -> None:
    full = replace(process("a", 1), model={kind: 81 * GIB})  # type: ignore[dict-item]
    assert list(lacks(ROOM, [full], uses_shared_memory=False)) == []


def test_gpus_of_which_no_driver_tells_are_judged_by_nobody() -> None:
    room = replace(ROOM, gpu_bytes=())
    assert list(lacks(room, [process("a", 1, 1_000)], uses_shared_memory=False)) == []
