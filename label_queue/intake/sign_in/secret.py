"""The client's secret: in the environment variable that the config names, and nowhere else."""

from __future__ import annotations

import os

from label_queue.sign_in_config import OidcConfig
from protocol.errors import ConfigError


def read_client_secret(config: OidcConfig) -> str:
    """Return it. Raises ConfigError where the environment has none."""
    secret = os.environ.get(config.client_secret_env, "").strip()
    if not secret:
        raise ConfigError(
            f"labels.intake.oidc.client_secret_env: the environment variable "
            f"{config.client_secret_env} is empty; set it to the client's secret where the run is "
            "started, on a cluster where Ray is, before that"
        )
    return secret
