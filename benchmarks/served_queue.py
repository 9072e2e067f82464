"""A label queue and its HTTP face on a Ray of their own, for the benchmarks that label over it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import ray
from ray import serve

from label_queue.config import LabelsConfig, Mode
from label_queue.intake.shell import build_intake_app
from label_queue.shell import QUEUE_OPTIONS, LabelQueueShell
from protocol.remote import Remote, spawn


@contextmanager
def served_queue(
    config: LabelsConfig, ledger: Path, *, run_id: str, mode: Mode
) -> Iterator[tuple[Remote[LabelQueueShell], str]]:
    """Start Ray, a queue over a new ledger and its face; yield the queue and the face's address."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    ray.init(num_cpus=4, include_dashboard=False, log_to_driver=False)
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    queue = spawn(LabelQueueShell, "the label queue", QUEUE_OPTIONS)(
        config, run_id=run_id, ledger=ledger, episodes=1_000, mode=mode, seed=1
    )
    serve.run(build_intake_app(queue, config), name="labels", route_prefix="/")
    try:
        yield queue, f"http://127.0.0.1:{port}"
    finally:
        serve.shutdown()
        ray.shutdown()
