"""What has no room, or cannot work as it is placed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cluster.config import RunConfig
from cluster.planning.machine import Device, Machine
from cluster.planning.needs import GIB, OnDisk, Process, in_gib


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that keeps a run from working."""

    text: str
    parts: tuple[str, ...]
    """What it concerns: parts of the run, or "KV cache", "transport", "host", "disk"."""
    excess: int
    """Bytes too many."""
    is_certain: bool
    """Whether it holds by what is counted from shapes alone; then the run is not begun."""


def unplaced(left_over: Sequence[Process], machine: Machine) -> Iterator[Problem]:
    """Tell of processes for which there is no GPU."""
    if left_over:
        names = ", ".join(each.name for each in left_over)
        yield Problem(
            text=f"there are {machine.num_gpus} GPUs, and none is left for {names}",
            parts=_parts(left_over),
            excess=sum(each.on_device for each in left_over),
            is_certain=True,
        )


def crowded(devices: Sequence[Device], machine: Machine) -> Iterator[Problem]:
    """Tell of devices that have not the memory for all who are on them."""
    for device in devices:
        excess = device.used - machine.gpu_bytes
        if excess > 0:
            names = ", ".join(each.name for each in device.processes)
            turn = f" in the turn of the {device.fullest}" if device.fullest else ""
            yield Problem(
                text=(
                    f"GPU {device.index} has {in_gib(machine.gpu_bytes)} GiB, and "
                    f"{in_gib(device.used)} are wanted{turn} by {names}"
                ),
                parts=_parts(device.processes),
                excess=excess,
                is_certain=device.certain > machine.gpu_bytes,
            )


def cache_too_small(
    run: RunConfig, actors: Sequence[Process], sequence_bytes: int, model_tokens: int
) -> Iterator[Problem]:
    """Tell of engines whose KV cache holds no longest sequence.

    Args:
        run: The config.
        actors: The rollout actors.
        sequence_bytes: What one such sequence takes.
        model_tokens: Its tokens.
    """
    has_cache = run.rollouts.kv_cache_gib > 0 or run.cluster.gpus_per_actor > 0
    cache = actors[0].model["kv_cache"]
    if has_cache and cache < sequence_bytes:
        yield Problem(
            text=(
                f"an engine has {cache / GIB:.2f} GiB for its KV cache, and one sequence of "
                f"{model_tokens} tokens takes {sequence_bytes / GIB:.2f}"
            ),
            parts=("KV cache",),
            excess=sequence_bytes - cache,
            is_certain=False,  # engines know their architecture's cache, and check it
        )


def store_too_small(run: RunConfig, store_bytes: int) -> Iterator[Problem]:
    """Tell of weights for which an object store has no room.

    Args:
        run: The config.
        store_bytes: Of all versions that are kept at a time.
    """
    if run.rollouts.weight_transport != "object_store":
        return
    room = int(run.cluster.object_store_gib * GIB)
    if run.cluster.address is None and store_bytes > room:
        yield Problem(
            text=(
                f"an object store of {in_gib(room)} GiB has no room for the versions that are "
                f"kept, {in_gib(store_bytes)}: it would move them to the disk"
            ),
            parts=("transport",),
            excess=store_bytes - room,
            is_certain=False,
        )


def host_too_small(needed: int, machine: Machine) -> Iterator[Problem]:
    """Tell of a host without the memory for all processes together."""
    if machine.host_bytes is not None and needed > machine.host_bytes:
        yield Problem(
            text=(
                f"the host has {in_gib(machine.host_bytes)} GiB, and {in_gib(needed)} are wanted, "
                "if all processes are at their fullest at once"
            ),
            parts=("host",),
            excess=needed - machine.host_bytes,
            is_certain=False,
        )


def disk_too_small(disk: Sequence[OnDisk], machine: Machine) -> Iterator[Problem]:
    """Tell of a disk that the run will fill."""
    needed = sum(each.num_bytes for each in disk)
    if machine.disk_bytes is not None and needed > machine.disk_bytes:
        yield Problem(
            text=(
                f"the disk has {in_gib(machine.disk_bytes)} GiB free, and the run fills "
                f"{in_gib(needed)}"
            ),
            parts=("disk",),
            excess=needed - machine.disk_bytes,
            is_certain=False,
        )


def _parts(processes: Sequence[Process]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(each.part for each in processes))
