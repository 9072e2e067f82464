"""The way to a PostgreSQL server, which can be cut at the very commit, before it or after it."""

from __future__ import annotations

import select
import socket
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Literal

SOCKET = ".s.PGSQL.5432"
COMMIT = b"COMMIT"
Cut = Literal["before", "after"]
"""Before the server hears of the commit, or after its answer, which the client never hears."""


class CutWire:
    """Listens at a socket of its own and passes on what is said. A context manager.

    Args:
        folder: Of its socket.
        server: Folder of the server's socket.
    """

    def __init__(self, folder: Path, server: Path) -> None:
        self.folder = folder
        self._server = str(server / SOCKET)
        self._next: Cut | None = None
        self.num_cuts = 0
        self.is_down = False
        """Whether everybody who comes is sent away."""
        self._stop = threading.Event()
        self._face = socket.socket(socket.AF_UNIX)
        self._face.bind(str(folder / SOCKET))
        self._face.listen()
        self._face.settimeout(0.05)
        self._threads = [threading.Thread(target=self._take_in)]
        self._threads[0].start()

    def cut_next(self, where: Cut) -> None:
        """Cut the connection at the next commit."""
        self._next = where

    def __enter__(self) -> CutWire:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self._face.close()

    def _take_in(self) -> None:
        while not self._stop.is_set():
            try:
                client, _ = self._face.accept()
            except TimeoutError:
                continue
            if self.is_down:
                client.close()
                continue
            self._threads.append(threading.Thread(target=self._pass_on, args=(client,)))
            self._threads[-1].start()

    def _pass_on(self, client: socket.socket) -> None:
        with ExitStack() as both:
            both.enter_context(client)
            server = both.enter_context(socket.socket(socket.AF_UNIX))
            server.connect(self._server)
            while not self._stop.is_set():
                readable, _, _ = select.select([client, server], [], [], 0.05)
                for end in readable:
                    said = end.recv(65536)
                    is_cut = end is client and COMMIT in said and self._next is not None
                    if is_cut and self._next == "after":
                        server.sendall(said)
                        assert server.recv(65536), "the server answers"
                    if is_cut:
                        self._next = None
                        self.num_cuts += 1
                    if is_cut or not said:
                        return
                    (server if end is client else client).sendall(said)
