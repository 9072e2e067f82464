"""A folder that goes with the process that made it, on its own node and however that process ends.

Of a process that is killed, another removes it: that one waits at the other end of a pipe, which
the kernel closes. Where that one is gone too, the next process that makes a folder there does; it
knows which are nobody's, for whoever has one keeps a lock in it, which the kernel gives back.

Run as a program, this is the one that waits; it has the standard library alone, and so has this.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
import weakref
from contextlib import suppress
from pathlib import Path

PREFIX = "andon-"
"""How the names of all such folders begin."""
LOCK = "owner.lock"


class OwnedFolder:
    """A new folder of this process.

    Those beside it that are nobody's any more are removed first.

    Args:
        begins: Where it is made, and how its name begins, e.g. /dev/shm/andon-RUN.
    """

    def __init__(self, begins: Path) -> None:
        begins.parent.mkdir(parents=True, exist_ok=True)
        remove_abandoned(begins.parent)
        self.path = Path(tempfile.mkdtemp(prefix=f"{begins.name}-", dir=begins.parent))
        lock = _locked(self.path)
        listening, alive = os.pipe()
        self._end = weakref.finalize(self, _end, self.path, lock, alive)
        # It forks and ends at once: Ray ends the children of a process that it ends.
        subprocess.run(
            [sys.executable, "-I", "-S", __file__, str(self.path)],
            stdin=listening,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=True,
        )
        os.close(listening)

    def remove(self) -> None:
        """Remove it, with all that is in it. May be called twice."""
        self._end()


def remove_abandoned(folder: Path) -> None:
    """Remove the folders there whose owners are gone; what nobody has ever locked stays."""
    for path in folder.glob(f"{PREFIX}*"):
        with suppress(OSError):  # somebody has it, it is gone, or it is another user's
            lock = os.open(path / LOCK, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path)
            finally:
                os.close(lock)


def _locked(folder: Path) -> int:
    """Lock a folder; return the open file, whose end is the lock's."""
    draft = folder / f"{LOCK}.draft"
    lock = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    draft.rename(folder / LOCK)  # from here on it may be asked for
    return lock


def _end(folder: Path, *files: int) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    for file in files:
        os.close(file)


def _outlive(folder: str) -> None:
    """Wait for the end of standard input, in a process and a session of its own; then remove."""
    if os.fork():
        return
    os.setsid()  # no signal to the owner's group is meant for this
    sys.stdin.buffer.read()
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    _outlive(sys.argv[1])
