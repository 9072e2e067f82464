"""A label queue and its HTTP face on a Ray of their own, for the benchmarks that label over it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import ray

from cluster.starting.ports import free_port
from label_queue.config import LabelsConfig, Mode
from label_queue.intake.public_address import Site
from label_queue.intake.shell import INTAKE_OPTIONS, IntakeShell
from label_queue.shell import QUEUE_OPTIONS, LabelQueueShell
from protocol.remote import Remote, spawn

HOST = "127.0.0.1"
QUEUE = "label-queue"
"""Name of the queue's actor."""


@contextmanager
def served_queue(
    config: LabelsConfig, ledger: Path, *, run_id: str, mode: Mode
) -> Iterator[tuple[Remote[LabelQueueShell], str]]:
    """Start Ray, a queue over a new ledger and its face; yield the queue and the face's address."""
    port = free_port(HOST, 0)
    ray.init("local", num_cpus=4, include_dashboard=False, log_to_driver=False)
    options = {**QUEUE_OPTIONS, "name": QUEUE}
    queue = spawn(LabelQueueShell, "the label queue", options)(
        config, run_id=run_id, ledger=ledger, episodes=1_000, mode=mode, seed=1
    )
    intake = spawn(IntakeShell, "the intake", INTAKE_OPTIONS)(
        QUEUE, config.intake, Site(), host=HOST, port=port
    )
    try:
        ray.get(intake.send(IntakeShell.ready))
        yield queue, f"http://{HOST}:{port}"
    finally:
        ray.shutdown()
