"""What a node of a cluster has, and whether those that were placed on it can fit.

Only what is certain counts: sizes that follow from shapes, held all at once. So who is refused
could not have worked; who is not may still be too large at its fullest, as `andon plan` says.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cluster.planning.machine import Machine, placed
from cluster.planning.needs import Process, in_gib
from cluster.planning.problems import crowded


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """Memory of one node, bytes."""

    name: str
    """The host's."""
    host_bytes: int
    """The machine's, or what its container may use of it."""
    shared_bytes: int
    """What /dev/shm may hold."""
    gpu_bytes: tuple[int, ...] = ()
    """Each GPU's; empty: there is none, or its driver tells of none."""


def lacks(room: Room, processes: Sequence[Process], *, uses_shared_memory: bool) -> Iterator[str]:
    """Say what a node has too little of.

    Args:
        room: What it has.
        processes: All that were placed on it.
        uses_shared_memory: Whether what they share is in /dev/shm; else Ray keeps it, who moves
            to the disk what has no room.
    """
    shared = sum(each.shared for each in processes) if uses_shared_memory else 0
    if shared > room.shared_bytes:
        yield (
            f"/dev/shm has {in_gib(room.shared_bytes)} GiB, and the policy versions that are kept "
            f"there take {in_gib(shared)}"
        )
    needed = shared + sum(each.certain_of_host for each in processes)
    if needed > room.host_bytes:
        names = ", ".join(
            f"{each.name} ({in_gib(each.certain_of_host)})"
            for each in processes
            if each.certain_of_host
        )
        yield (
            f"it has {in_gib(room.host_bytes)} GiB of memory, and {in_gib(needed)} are wanted at "
            f"least, by {names}"
        )
    if room.gpu_bytes:
        yield from _crowded(room.gpu_bytes, processes)


def _crowded(gpu_bytes: Sequence[int], processes: Sequence[Process]) -> Iterator[str]:
    """Say which GPUs have too little, were all of them as large as the largest."""
    machine = Machine(
        num_gpus=len(gpu_bytes),
        gpu_bytes=max(gpu_bytes),
        host_bytes=None,
        disk_bytes=None,
        is_here=False,
    )
    devices, _ = placed(processes, machine.num_gpus)
    for problem in crowded(devices, machine):
        if problem.is_certain:
            yield problem.text
