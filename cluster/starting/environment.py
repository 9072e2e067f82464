"""What must be in the environment before Ray, torch or vLLM is imported."""

from __future__ import annotations

import os

# Every process of a run gets one thread unless its own config says more: on a small machine ten
# processes with a pool each would fight for the same cores.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

QUIET = {
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_SERVE_LOG_TO_STDERR": "0",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TRANSFORMERS_VERBOSITY": "error",
}

# What Ray would otherwise tell the user to decide, or decide against a run's own processes: tokens
# guard the session, and workers are not nicer than the rest of the machine.
RAY_DEFAULTS = {"RAY_AUTH_MODE": "token", "RAY_worker_niceness": "0"}

# A thread that still calls Ray when its session has ended would silently start another.
ONE_SESSION = {"RAY_ENABLE_AUTO_CONNECT": "0"}

# Ray listens on all interfaces unless told that there is no cluster beyond this machine; this is
# the switch its own Windows and macOS builds use, and it is read when Ray is imported.
LOOPBACK_ONLY = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}


def prepare_environment(address: str | None) -> None:
    """Set what the run's processes inherit; what the user has set stays.

    Args:
        address: Of a Ray cluster to join, if the config names one.
    """
    settings = {**ONE_THREAD, **QUIET, **ONE_SESSION}
    if cluster_address(address) is None:
        settings |= RAY_DEFAULTS | LOOPBACK_ONLY
    for name, value in settings.items():
        os.environ.setdefault(name, value)


def cluster_address(address: str | None) -> str | None:
    """Return the Ray cluster to join, the config's or RAY_ADDRESS; None for a private session."""
    return address or os.environ.get("RAY_ADDRESS") or None
