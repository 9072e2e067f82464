"""What must be in the environment before Ray, torch or vLLM is imported."""

from __future__ import annotations

import os

# Every process of a run gets one thread unless its own config says more: on a small machine ten
# processes with a pool each would fight for the same cores.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

# Ray would show every GPU to a process that was placed without one.
OWN_DEVICES = {"RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1"}

QUIET = {
    "RAY_SERVE_LOG_TO_STDERR": "0",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TRANSFORMERS_VERBOSITY": "error",
    # A run forks only to start other programs: gRPC need not stand by, and say when it cannot.
    "GRPC_ENABLE_FORK_SUPPORT": "0",
}

# What Ray would otherwise tell the user to decide, or decide against a run's own processes: tokens
# guard the session, and workers are not nicer than the rest of the machine.
RAY_DEFAULTS = {"RAY_AUTH_MODE": "token", "RAY_worker_niceness": "0"}

# Serve's and Ray's own deadlines are for machines that do nothing else. On a shared one a process
# may wait seconds for its turn: what is only slow must not be taken for dead, nor be told of.
SHARED_MACHINE = {
    # Before a request goes to a replica, how long that may take to say how much it has to do.
    "RAY_SERVE_QUEUE_LENGTH_RESPONSE_DEADLINE_S": "10",
    "RAY_SERVE_MAX_QUEUE_LENGTH_RESPONSE_DEADLINE_S": "60",
    # A worker imports torch or vLLM before it reports itself.
    "RAY_worker_register_timeout_seconds": "300",
    # A node that does not answer so long, several times in a row, is given up with all on it.
    "RAY_health_check_timeout_ms": "60000",
}

# Whom no proxy stands before. The names in use; and a list of both spellings, since libraries
# differ in which they read.
LOOPBACK = ("localhost", "127.0.0.1", "::1")
NO_PROXY_VARIABLES = ("no_proxy", "NO_PROXY")
GRPC_NO_PROXY = "no_grpc_proxy"
"""A variable that gRPC reads in place of the others where it is set."""

# A thread that still calls Ray when its session has ended would silently start another.
ONE_SESSION = {"RAY_ENABLE_AUTO_CONNECT": "0"}

# Ray listens on all interfaces unless told that there is no cluster beyond this machine; this is
# the switch its own Windows and macOS builds use, and it is read when Ray is imported.
LOOPBACK_ONLY = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}


def prepare_environment(address: str | None) -> None:
    """Set what the run's processes inherit; what the user has set stays.

    For the driver alone: a process that has read Ray's settings already does not read them again,
    and would start one that does not fit it.

    Args:
        address: Of a Ray cluster to join, if the config names one.
    """
    os.environ.update(run_environment(address))


def run_environment(address: str | None) -> dict[str, str]:
    """Return this process's environment as a run's processes have it; see `prepare_environment`."""
    settings = {**ONE_THREAD, **OWN_DEVICES, **QUIET, **ONE_SESSION, **SHARED_MACHINE}
    if cluster_address(address) is None:
        settings |= RAY_DEFAULTS | LOOPBACK_ONLY
    return {**settings, **os.environ, **_no_proxy_before_loopback()}


def cluster_address(address: str | None) -> str | None:
    """Return the Ray cluster to join, the config's or RAY_ADDRESS; None for a private session.

    "local" is Ray's own word for one.
    """
    named = (address or os.environ.get("RAY_ADDRESS") or "").strip()
    return None if named in ("", "local") else named


def _no_proxy_before_loopback() -> dict[str, str]:
    """Return the lists of what is reached without a proxy: the user's own, and this machine."""
    listed = [part.strip() for name in NO_PROXY_VARIABLES for part in _listed(name)]
    if "*" in listed:
        return {}
    names = ",".join(dict.fromkeys((*filter(None, listed), *LOOPBACK)))
    lists = dict.fromkeys(NO_PROXY_VARIABLES, names)
    if GRPC_NO_PROXY in os.environ:
        lists[GRPC_NO_PROXY] = ",".join((*_listed(GRPC_NO_PROXY), *LOOPBACK))
    return lists


def _listed(name: str) -> list[str]:
    return os.environ.get(name, "").split(",")
