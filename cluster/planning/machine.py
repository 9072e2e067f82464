"""The machine that a run is planned for, and which device each process comes to lie on."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from cluster.config import RunConfig
from cluster.planning.needs import GIB, MIB, Process, Side

ASSUMED_GIB = 79.0
"""Memory of a GPU that is called one of 80 GB, as programs find it."""
NVIDIA_SMI = ("nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits")


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """GPUs that are alike, and a host; None of what is not known, and then judged by nobody."""

    num_gpus: int | None
    """None: as many as are asked for."""
    gpu_bytes: int
    host_bytes: int | None
    disk_bytes: int | None
    is_here: bool
    """Whether it is this one, as it is found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A GPU and who is on it."""

    index: int
    processes: tuple[Process, ...]

    @property
    def sides(self) -> tuple[Side, ...]:
        """Who have it in turns; nobody: all that are on it have it all the time."""
        return tuple(dict.fromkeys(each.side for each in self.processes if each.side is not None))

    @property
    def used(self) -> int:
        """Bytes of all on it, in the turn in which they are most."""
        return self.used_in(self.fullest)

    @property
    def certain(self) -> int:
        """Bytes that those on it cannot do without, in the turn in which they are most."""
        return max(
            sum(each.certain for each in self.processes if each.side in (None, side))
            for side in self.sides or (None,)
        )

    @property
    def fullest(self) -> Side | None:
        """In whose turn that is; None: there are no turns."""
        return max(self.sides, key=self.used_in, default=None)

    def used_in(self, side: Side | None) -> int:
        """Bytes of all on it while one side has the turn, and the others what they hold at rest."""
        return sum(
            each.on_device if each.side in (None, side) else each.resting for each in self.processes
        )


def this_machine(folder: Path) -> Machine:
    """Return the machine at hand, with the disk of a folder that may be yet to be made."""
    sizes = gpu_sizes()
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    return Machine(
        num_gpus=len(sizes),
        gpu_bytes=min(sizes, default=0),
        host_bytes=psutil.virtual_memory().total,
        disk_bytes=shutil.disk_usage(there).free,
        is_here=True,
    )


def planned_machine(
    run: RunConfig, *, num_gpus: int | None, gpu_gib: float | None, host_gib: float | None
) -> Machine:
    """Return the machine that is described, or else the one at hand if it can be meant.

    Without a GPU it cannot where the config asks for some.
    """
    here = this_machine(Path())
    is_described = any(each is not None for each in (num_gpus, gpu_gib, host_gib))
    if not is_described and (here.num_gpus or not asks_for_gpus(run)):
        return here
    return Machine(
        num_gpus=num_gpus,
        gpu_bytes=gib(ASSUMED_GIB if gpu_gib is None else gpu_gib),
        host_bytes=None if host_gib is None else gib(host_gib),
        disk_bytes=None,
        is_here=False,
    )


def here_for(run: RunConfig, folder: Path) -> Machine:
    """Return the machine at hand, for a check before a run.

    Where the run asks for GPUs and no driver tells of any they are without bounds: Ray may know
    of them, and says so itself where it has none.
    """
    here = this_machine(folder)
    if here.num_gpus or not asks_for_gpus(run):
        return here
    return replace(here, num_gpus=None, gpu_bytes=sys.maxsize)


def placed(
    processes: Sequence[Process], num_gpus: int | None
) -> tuple[list[Device], list[Process]]:
    """Put processes on devices as Ray does; return these, and those for which none is left.

    Whole devices are taken first. A part of one goes where the least is free that suffices: so Ray
    chooses among the GPUs of a node.

    Args:
        processes: Those with GPUs are placed.
        num_gpus: How many there are; None: as many as it takes.
    """
    wanting = sorted((each for each in processes if each.gpus), key=lambda each: each.gpus < 1)
    on_them: list[list[Process]] = [[] for _ in range(num_gpus or 0)]
    left_over = []
    for process in wanting:
        count = max(1, int(process.gpus))
        share = min(1.0, process.gpus)
        free = [1.0 - sum(min(1.0, p.gpus) for p in there) for there in on_them]
        fitting = sorted((room, index) for index, room in enumerate(free) if room >= share - 1e-9)
        chosen = [index for _, index in fitting[:count]]
        while len(chosen) < count and num_gpus is None:
            on_them.append([])
            chosen.append(len(on_them) - 1)
        if len(chosen) < count:
            left_over.append(process)
            continue
        for index in chosen:
            on_them[index].append(process)
    devices = [Device(index=index, processes=tuple(there)) for index, there in enumerate(on_them)]
    return devices, left_over


def gib(value: float) -> int:
    """Return gibibytes as bytes."""
    return int(value * GIB)


def asks_for_gpus(run: RunConfig) -> bool:
    """Return whether any part of a run is placed with a GPU."""
    cluster = run.cluster
    return bool(
        cluster.gpus_per_actor or cluster.gpus_per_learner_rank or cluster.gpus_per_reward_replica
    )


def gpu_sizes() -> list[int]:
    """Return the memory of each GPU that may be used here; see `installed_gpu_sizes`."""
    sizes = installed_gpu_sizes()
    shown = os.environ.get("CUDA_VISIBLE_DEVICES")
    return sizes if shown is None or not sizes else list(_shown(sizes, shown))


def installed_gpu_sizes() -> list[int]:
    """Return the memory of each GPU of this machine, whoever may use it.

    The driver is asked, so that no context is made on one; nothing where there is none, or it does
    not answer in numbers.
    """
    if shutil.which(NVIDIA_SMI[0]) is None:
        return []
    try:
        answer = subprocess.run(NVIDIA_SMI, capture_output=True, text=True, check=True, timeout=30)
    except subprocess.SubprocessError:
        return []
    return [int(line) * MIB for line in answer.stdout.split() if line.isdecimal()]


def _shown(sizes: Sequence[int], names: str) -> Iterator[int]:
    """Give the sizes of those that CUDA shows: numbers, or ids, up to the first that is neither."""
    for name in map(str.strip, names.split(",")):
        if name.startswith(("GPU-", "MIG-")):
            yield min(sizes)
        elif name.isdecimal() and int(name) < len(sizes):
            yield sizes[int(name)]
        else:
            return
