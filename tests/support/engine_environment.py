"""The environment in which the real engine starts, outside the actor that sets it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from actors.config import RolloutConfig
from actors.environment import set_engine_environment


@contextmanager
def engine_environment(config: RolloutConfig) -> Iterator[None]:
    """Set what the Ray shell sets, and the engine core inherits; take it back at the end."""
    with pytest.MonkeyPatch.context() as patch:
        variables: dict[str, str] = {}
        set_engine_environment(variables, config)
        for name, value in variables.items():
            patch.setenv(name, value)
        yield
