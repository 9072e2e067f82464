"""Secrets of outside tools: in environment variables that the config names, and nowhere else."""

from __future__ import annotations

import os
from collections.abc import Sequence

from label_queue.connector_config import ConnectorConfig
from protocol.errors import ConfigError


def read_secret(variable: str, connector: str) -> str:
    """Return an environment variable's value. Raises ConfigError where there is none."""
    value = os.environ.get(variable, "").strip()
    if not value:
        raise ConfigError(
            f"labels.connectors ({connector}): the environment variable {variable} is empty; set "
            "it where the label queue runs, before the run starts"
        )
    return value


def check_secrets(configs: Sequence[ConnectorConfig]) -> None:
    """Raise ConfigError for the first environment variable that connectors name and is empty.

    For a check before anything starts, where the label queue runs on the same machine.
    """
    for config in configs:
        for variable in config.secret_variables:
            read_secret(variable, config.name)
