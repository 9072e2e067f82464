"""DeepSpeed's compiled ops, built by one process at a time, whatever becomes of it.

DeepSpeed compiles its ops at first use. Who builds is settled by PyTorch with a file that its owner
removes: killed in between, it leaves the file behind, and every later process waits for ever. So
ours hold a lock of the operating system around it, which ends with its holder; whoever holds that
one knows that a file found inside is nobody's.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from importlib.metadata import version
from pathlib import Path
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

FOLDER_VARIABLE = "TORCH_EXTENSIONS_DIR"
BATON = "lock"
"""Name of the file by which PyTorch settles who builds, in the folder of each op."""


@contextmanager
def one_builder() -> Iterator[None]:
    """Wait until no other process of ours builds ops, and keep them out until the end.

    They are built in a folder of Andon's own, unless TORCH_EXTENSIONS_DIR names one: what other
    programs are building is theirs.
    """
    folder = Path(os.environ.setdefault(FOLDER_VARIABLE, str(_own_folder())))
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "andon.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        for left_behind in folder.glob(f"*/{BATON}"):
            left_behind.unlink()
        yield


def built_alone(build: Callable[P, R]) -> Callable[P, R]:
    """Return what builds an op inside `one_builder`; what was returned before comes back as it is.

    `build` must build the op alone: where ranks wait for each other, the lock is never let go.
    """
    if hasattr(build, "__wrapped__"):
        return build

    @wraps(build)
    def built(*args: P.args, **kwargs: P.kwargs) -> R:
        with one_builder():
            return build(*args, **kwargs)

    return built


def _own_folder() -> Path:
    """Return where ops lie; those of other releases, which may not fit, lie elsewhere."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "andon" / f"ops-torch{version('torch')}-deepspeed{version('deepspeed')}"
