"""Of what runs of a machine share, one makes it and the others wait, and then find it made."""

from __future__ import annotations

import asyncio
import fcntl
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from io import TextIOWrapper
from pathlib import Path

from protocol.files import writing

POLL_S = 0.5
"""How soon it is seen that another has made it. A thread that waits in `flock` cannot be ended."""


@contextmanager
def only_maker(folder: Path) -> Iterator[None]:
    """Within the block no other process makes a folder; one that does is waited for. Blocks.

    Look here once more whether it is made: another may have been waited for. The lock is a file
    beside the folder, and ends with its process, however that ends.

    Raises InputError or ResourceError where the disk takes no such file.
    """
    with _lock_file(folder) as lock:
        while not _is_ours(lock):
            time.sleep(POLL_S)
        yield


@asynccontextmanager
async def only_maker_async(folder: Path) -> AsyncIterator[None]:
    """As `only_maker`, where an event loop runs: the wait can be cancelled."""
    with _lock_file(folder) as lock:
        while not _is_ours(lock):  # noqa: ASYNC110 -- a lock of the system's wakes no event loop
            await asyncio.sleep(POLL_S)
        yield


def _lock_file(folder: Path) -> TextIOWrapper:
    path = folder.with_name(f".{folder.name}.lock")
    with writing(path, "start from a folder of yours"):
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("a")


def _is_ours(lock: TextIOWrapper) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
