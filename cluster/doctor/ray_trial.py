"""Starts a private Ray session with Serve, as a run does, and has it run one task."""

from __future__ import annotations

import json
import sys
import time

import ray

from cluster.cluster_config import ClusterConfig
from cluster.starting.session import RaySession


def main() -> None:
    """Print how long it took."""
    began = time.monotonic()
    config = ClusterConfig(http_port=0, object_store_gib=0.1, address="local")
    with RaySession(config, "doctor", 1) as session:
        session.wait_for_serve()
        answer = ray.get(ray.remote(lambda: 6 * 7).remote())
        assert answer == 42, f"a task answered {answer}"
        said = {"version": ray.__version__, "seconds": time.monotonic() - began}
    sys.stdout.write(json.dumps(said) + "\n")


if __name__ == "__main__":
    main()
