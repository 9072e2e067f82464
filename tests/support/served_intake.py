"""The labelling face as it runs: a process of its own over a label queue's, on the tests' Ray."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from label_queue.config import IntakeConfig
from label_queue.intake.public_address import Site
from label_queue.intake.shell import INTAKE_OPTIONS, IntakeShell
from protocol.remote import Remote, spawn
from tests.support.ports import HOST, free_port


@dataclass(frozen=True)
class ServedIntake:
    """Where it answers, and its process."""

    url: str
    process: Remote[IntakeShell]


@contextmanager
def served_intake(
    queue_name: str,
    config: IntakeConfig,
    site: Site | None = None,
    port: int = 0,
    environment: Mapping[str, str] | None = None,
) -> Iterator[ServedIntake]:
    """Have a face stand before the queue of this name.

    Args:
        queue_name: Of the queue's actor.
        config: Limits of requests.
        site: Where the run is found; None: on loopback alone.
        port: Where to listen; 0 for any.
        environment: What its process finds there beside what Ray was started in.
    """
    import ray

    at = port or free_port()
    options: dict[str, Any] = dict(INTAKE_OPTIONS)
    if environment is not None:
        options["runtime_env"] = {"env_vars": dict(environment)}
    intake = spawn(IntakeShell, "the intake", options)(
        queue_name, config, site or Site(), host=HOST, port=at
    )
    try:
        ray.get(intake.send(IntakeShell.ready))
        yield ServedIntake(f"http://{HOST}:{at}", intake)
        ray.get(intake.send(IntakeShell.stop))
    finally:
        ray.kill(intake.handle)
