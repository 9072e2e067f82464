"""A file system of fsspec that tries again what failed for a moment.

How its kinds call an error that passes differs from one to the next. So all are tried again but
those that are known to last.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from typing import Any

from tenacity import Retrying, retry_if_exception, stop_after_attempt

from protocol.files import is_full
from protocol.retrying import Backoff

MAX_ATTEMPTS = 5
_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 8.0
_REMOVING = frozenset({"rm", "rm_file"})
_REPEATED = _REMOVING | frozenset(
    ("cat_file", "exists", "find", "get_file", "ls", "makedirs", "pipe_file", "put_file")
)
"""Calls that change nothing more when they are made twice. A move is none: what was moved is no
more where it was."""
_LASTING = (
    *(FileNotFoundError, FileExistsError, NotADirectoryError, IsADirectoryError, PermissionError),
    *(ValueError, TypeError, ImportError, NotImplementedError),
)


class PatientFiles:
    """A file system whose calls are made a few times before they fail.

    Args:
        files: fsspec's.
        rng: Scatters the pauses.
        sleep: Waits that many seconds.
    """

    def __init__(self, files: Any, rng: random.Random, sleep: Callable[[float], None]) -> None:
        self._files = files
        self._sleep = sleep
        self._backoff = Backoff(first_s=_FIRST_PAUSE_S, longest_s=_LONGEST_PAUSE_S, rng=rng)

    def __getattr__(self, name: str) -> Any:
        """Return what fsspec calls so."""
        found = getattr(self._files, name)
        return partial(self._insist, name, found) if name in _REPEATED else found

    def _insist(self, name: str, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        retrying = Retrying(
            sleep=self._sleep,
            wait=self._backoff,
            stop=stop_after_attempt(MAX_ATTEMPTS),
            retry=retry_if_exception(_may_pass),
            reraise=True,
        )
        try:
            return retrying(call, *args, **kwargs)
        except FileNotFoundError:
            if name in _REMOVING and retrying.statistics["attempt_number"] > 1:
                return None  # the answer to an earlier try was lost
            raise


def _may_pass(error: BaseException) -> bool:
    if isinstance(error, OSError) and is_full(error):
        return False
    return isinstance(error, Exception) and not isinstance(error, _LASTING)
