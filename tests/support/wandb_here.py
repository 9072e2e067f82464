"""wandb in this very process, led to the stand-in for its server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import wandb

from tests.support.recorded_wandb import RecordedWandb


@contextmanager
def in_wandbs_place(monkeypatch: pytest.MonkeyPatch) -> Iterator[RecordedWandb]:
    """Give the stand-in, which this process takes for wandb's server meanwhile."""
    wandb.teardown()
    with RecordedWandb() as server:
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        yield server
        wandb.teardown()
