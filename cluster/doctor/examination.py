"""All checks, cheapest first."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from cluster.doctor.finding import Finding
from cluster.doctor.machine import (
    check_disk,
    check_files,
    check_folders,
    check_gpu,
    check_memory,
    check_ports,
    check_shared_memory,
    check_threads,
)
from cluster.doctor.packages import check_packages, check_python
from cluster.doctor.sqlite import check_sqlite
from cluster.doctor.trials import check_logprobs, check_ray


def examine(folder: Path, *, is_quick: bool) -> Iterator[Finding]:
    """Look at this machine; what is found comes as it is found.

    Args:
        folder: Where runs will be.
        is_quick: Leave out what starts processes.
    """
    yield check_python()
    yield from check_packages()
    yield check_memory()
    yield check_shared_memory()
    yield check_threads()
    yield check_files()
    yield check_ports()
    yield check_folders()
    yield check_disk(folder)
    yield check_sqlite(folder)
    yield check_gpu()
    if not is_quick:
        yield check_ray()
        yield check_logprobs()
