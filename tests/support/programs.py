"""Other people's servers, as programs beside a test."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.support.patience import PATIENCE_S
from tests.support.run_process import wait_until


@contextmanager
def program_running(
    command: Sequence[str], log: Path, is_ready: Callable[[], bool], what: str
) -> Iterator[None]:
    """Run a program until the block is left, which is entered once it is ready.

    Args:
        command: Program and arguments.
        log: Takes what it prints.
        is_ready: Says whether it answers.
        what: Is waited for, in words.
    """
    with log.open("w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        wait_until(is_ready, what, PATIENCE_S)
        yield
    finally:
        process.kill()
        process.wait()
