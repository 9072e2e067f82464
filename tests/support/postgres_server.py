"""A PostgreSQL server of the tests' own, in a temporary folder, reached by a socket there alone."""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg

DEBIAN = Path("/usr/lib/postgresql")
NEEDED = ("initdb", "pg_ctl", "postgres")
OWNERS = ("postgres", "nobody")
"""Whose the server is where the tests are root's, which it refuses."""
LONGEST_START_S = 60
SETTINGS = (
    "listen_addresses = ''",
    "shared_buffers = 16MB",
    "max_connections = 40",
    "jit = off",
)
ACCESS = """\
local all secretive scram-sha-256
local all all trust
"""
"""Everybody who reaches the socket is let in, but for one user."""
MISSING = f"no PostgreSQL server under {DEBIAN} or on PATH; `apt-get install postgresql` gives one"


def find_binaries() -> Path | None:
    """Return the folder of the newest server's programs, if there is one."""
    versions = DEBIAN.glob("*/bin") if DEBIAN.is_dir() else ()
    folders = sorted(versions, key=lambda folder: float(folder.parent.name), reverse=True)
    on_path = shutil.which("initdb")
    if on_path is not None:
        folders.append(Path(on_path).resolve().parent)
    whole = (each for each in folders if all((each / name).exists() for name in NEEDED))
    return next(whole, None)


class PostgresServer:
    """One server, started when it is made. Its superuser is "andon".

    Args:
        binaries: Folder of the server's programs.
        folder: A folder of its own, with a short path, for sockets have short ones.
    """

    def __init__(self, binaries: Path, folder: Path) -> None:
        self._binaries = binaries
        self._data = folder / "data"
        self._user = _owner()
        self._schemas = itertools.count(1)
        self.socket = folder / "socket"
        """The folder of its socket."""
        for each in (folder, self.socket):
            each.mkdir(exist_ok=True)
            if self._user is not None:
                os.chown(each, pwd.getpwnam(self._user).pw_uid, -1)
        self._run("initdb", "--no-sync", "--auth=trust", "--username=andon", "--encoding=UTF8")
        with (self._data / "postgresql.conf").open("a") as config:
            config.writelines(f"{line}\n" for line in SETTINGS)
            config.write(f"unix_socket_directories = '{self.socket}'\n")
        (self._data / "pg_hba.conf").write_text(ACCESS)
        self.start()

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        log = str(self._data.parent / "log")
        self._run("pg_ctl", "start", "--wait", f"--timeout={LONGEST_START_S}", f"--log={log}")

    def stop(self, mode: str = "fast") -> None:
        """Stop the process that its own folder names. "immediate" is as if it had been killed."""
        self._run("pg_ctl", "stop", "--wait", f"--timeout={LONGEST_START_S}", f"--mode={mode}")

    def url(self, *, user: str = "andon", database: str = "postgres", **parameters: str) -> str:
        """Return a URL of the server's, with these parameters."""
        given = {"host": str(self.socket), **parameters}
        query = "&".join(f"{name}={quote(value, safe='/')}" for name, value in given.items())
        return f"postgresql://{user}@/{database}?{query}"

    def new_schema(self) -> str:
        """Make an empty schema; return the URL that leads there."""
        name = f"schema_{next(self._schemas)}"
        self.execute(f"CREATE SCHEMA {name}")
        return self.url(options=f"-csearch_path={name}")

    def execute(self, statement: str, url: str | None = None) -> list[tuple[Any, ...]]:
        """Run one statement over a connection of its own; return its rows."""
        with psycopg.connect(url or self.url(), autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description is not None else []

    def end_writers(self) -> int:
        """Have the server end every session that writes to a ledger; return how many it did."""
        ended = self.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity "
            "WHERE application_name LIKE '%, writing %'"
        )
        return sum(was_ended for (was_ended,) in ended)

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._binaries / program), f"--pgdata={self._data}", *arguments]
        # A server keeps its output, and nobody would wait for the end of a pipe.
        with tempfile.TemporaryFile() as output:
            done = subprocess.run(
                command,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                user=self._user,
                group=None if self._user is None else pwd.getpwnam(self._user).pw_gid,
                extra_groups=None if self._user is None else [],
                check=False,
            )
            output.seek(0)
            assert done.returncode == 0, output.read().decode(errors="replace")


def _owner() -> str | None:
    """Return whose the server is to be; None: this user's, who is not root."""
    if os.geteuid() != 0:
        return None
    names = {each.pw_name for each in pwd.getpwall()}
    return next(name for name in OWNERS if name in names)


@contextmanager
def postgres_server(binaries: Path) -> Iterator[PostgresServer]:
    """Start a server, and stop it at the end."""
    folder = Path(tempfile.mkdtemp(prefix="andon-pg-", dir="/tmp"))
    try:
        server = PostgresServer(binaries, folder)
        try:
            yield server
        finally:
            server.stop("immediate")
    finally:
        shutil.rmtree(folder)
