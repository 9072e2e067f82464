"""A Ray session on this machine alone, for what is measured by itself."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import ray

from cluster.starting.environment import RAY_DEFAULTS


@contextmanager
def local_ray() -> Iterator[None]:
    """Have a Ray session whose workers have the niceness that a run's have."""
    name = "RAY_worker_niceness"
    os.environ[name] = RAY_DEFAULTS[name]
    ray.init(
        "local",
        include_dashboard=False,
        _node_ip_address="127.0.0.1",
        num_cpus=8,
        object_store_memory=4 * 2**30,
        log_to_driver=False,
    )
    try:
        yield
    finally:
        ray.shutdown()
