"""The folders a run writes to beside its own: whether it may, and whether Ray's paths fit."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from protocol.errors import ConfigError, ResourceError

LONGEST_SOCKET_BYTES = 107
"""Longest path of a Unix socket that Linux takes, its final zero left out."""
_SOCKET = "ray/session_2030-01-01_12-00-00_000000_{pid}/sockets/plasma_store"
"""The longest name that Ray gives a socket under the folder for temporary files."""
PROBE_BYTES = 64 * 1024
"""Bytes written as a trial: more than a full disk keeps back for small files."""


def check_home() -> None:
    """Check the home folder: Ray keeps its token there, and wandb, vLLM and torch their caches.

    Raises:
        ResourceError: There is none, or nothing can be written there.
    """
    try:
        home = Path.home()
    except RuntimeError as error:
        raise ResourceError(
            "this user has no home folder, and Ray, wandb and vLLM write there: set HOME to one"
        ) from error
    check_writable(home, "HOME", "Ray, wandb and vLLM write there: set HOME to a folder of yours")


def check_ray_temp() -> None:
    """Check the folder for Ray's sockets and logs.

    Raises:
        ConfigError: Its path is too long for a Unix socket.
        ResourceError: Nothing can be written there.
    """
    variable, folder = ray_temp()
    longest = folder / _SOCKET.format(pid=_largest_pid())
    num_bytes = len(os.fsencode(longest))
    if num_bytes > LONGEST_SOCKET_BYTES:
        room = LONGEST_SOCKET_BYTES - (num_bytes - len(os.fsencode(folder)))
        raise ConfigError(
            f"{variable} {folder} is too long for Ray's sockets below it: set RAY_TMPDIR to a "
            f"folder of at most {room} bytes, e.g. /tmp"
        )
    mend = "Ray keeps its sockets there: set RAY_TMPDIR to a folder of yours"
    check_writable(folder / "ray", variable, mend)


def ray_temp() -> tuple[str, Path]:
    """Return where Ray puts its folder, and the variable that says so, as Ray itself finds it."""
    for variable in ("RAY_TMPDIR", "TMPDIR"):
        if variable in os.environ:
            return variable, Path(os.environ[variable]).absolute()
    return "RAY_TMPDIR", Path("/tmp")


def check_writable(folder: Path, what: str, mend: str) -> None:
    """Write a file into a folder, or into the nearest above it that is there, and remove it.

    Args:
        folder: Need not be there yet.
        what: It is to the user, e.g. "HOME".
        mend: What to do where nothing can be written.

    Raises:
        ResourceError: The disk is full or read-only, or this user may not write there.
    """
    try:
        place = folder.absolute()
        while not place.exists() and place != place.parent:
            place = place.parent
        with tempfile.TemporaryFile(dir=place) as probe:
            probe.write(b"\0" * PROBE_BYTES)
            probe.flush()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ResourceError(f"{what} {folder} cannot be written ({reason}); {mend}") from error


def _largest_pid() -> int:
    """Return the largest process id this machine gives."""
    limit = Path("/proc/sys/kernel/pid_max")
    return int(limit.read_text(encoding="ascii")) - 1 if limit.exists() else 2**22 - 1
