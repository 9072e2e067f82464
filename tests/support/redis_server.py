"""A Redis server of the tests' own, on a free port of loopback, in a temporary folder."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from redis import Redis
from redis.exceptions import RedisError

from tests.support.patience import PATIENCE_S
from tests.support.ports import free_port

MISSING = "no redis-server on PATH; `apt-get install redis-server` gives one"
PAUSE_S = 0.02


def find_redis() -> Path | None:
    """Return the server's program, if there is one."""
    found = shutil.which("redis-server")
    return None if found is None else Path(found)


class RedisServer:
    """One server, started when it is made. What it holds outlives its end.

    Args:
        program: The server's.
        folder: A folder of its own.
        options: More of the program's options.
    """

    def __init__(self, program: Path, folder: Path, options: Sequence[str] = ()) -> None:
        self.program = program
        self._folder = folder
        self.port = free_port()
        self._command = [
            *(str(program), "--bind", "127.0.0.1", "--port", str(self.port)),
            *("--dir", str(folder), "--save", "", "--appendonly", "yes"),
            *options,
        ]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.client: Any = Redis(host="127.0.0.1", port=self.port, protocol=2)
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        until = time.monotonic() + PATIENCE_S
        while not self._answers():
            assert self._process.poll() is None, (self._folder / "log").read_text()
            assert time.monotonic() < until, "redis-server does not answer"
            time.sleep(PAUSE_S)

    def _answers(self) -> bool:
        try:
            return bool(self.client.ping())
        except RedisError:
            return False

    def kill(self) -> None:
        """End it by SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@contextmanager
def redis_server(program: Path, *options: str) -> Iterator[RedisServer]:
    """Start a server, and end it at the end."""
    with tempfile.TemporaryDirectory(prefix="andon-redis-") as folder:
        server = RedisServer(program, Path(folder), options)
        try:
            yield server
        finally:
            server.client.close()
            server.kill()
