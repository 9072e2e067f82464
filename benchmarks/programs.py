"""Programs that a benchmark starts: they end with it, also where a signal ends it.

    run_program(["andon", "demo"])            as `subprocess.run` with `check`
    with started(["andon", "demo"]) as it:    ended at the end of the block, if it still runs
    with heard(): …                           around threads that call either

Each has a session of its own, so that all that it starts is ended with it; a Ctrl-C of the terminal
reaches the benchmark alone, which passes it on.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from types import FrameType
from typing import Any

import psutil

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
STOP_S = 180.0
"""For a program that was told to end: a run of Andon saves its policy."""


class _Programs:
    """Those that run, in whichever thread they were started: signals are the whole process's."""

    def __init__(self) -> None:
        self.running: set[subprocess.Popen[Any]] = set()
        self.is_heard = False
        """Whether signals come to us."""
        self.number: int | None = None
        """The signal that came."""
        self._are_told = False
        self._is_main_starting = False

    def start(self, command: Sequence[Any], make: Callable[..., Any], options: Any) -> Any:
        """Start one; a signal that comes meanwhile acts once it is known."""
        self._is_main_starting = _is_main() or self._is_main_starting
        try:
            self._raise_if_told()
            process = make(command, start_new_session=True, **options)
            self.running.add(process)
        finally:
            self._is_main_starting = self._is_main_starting and not _is_main()
        if self.number is not None:
            end_program(process)
        self._raise_if_told()
        return process

    def tell(self, number: int) -> None:
        """Tell all to end; kill those that do not, or all where it is said twice."""
        how = signal.SIGKILL if self._are_told else signal.SIGTERM
        self._are_told, self.number = True, number
        _tell_all(tuple(self.running), how)
        later = threading.Timer(STOP_S, lambda: _tell_all(tuple(self.running), signal.SIGKILL))
        later.daemon = True
        later.start()

    def on_signal(self, number: int, _frame: FrameType | None) -> None:
        """End the benchmark; `heard` has its programs told."""
        self.number = number
        if not self._is_main_starting:
            self._raise_if_told()

    def _raise_if_told(self) -> None:
        if self.number is not None:
            raise SystemExit(128 + self.number)


_PROGRAMS = _Programs()


def run_program(
    command: Sequence[Any], *, content: bytes | str | None = None, **options: Any
) -> subprocess.CompletedProcess[Any]:
    """Run a program to its end, as `subprocess.run` with `check`.

    Args:
        command: As for `subprocess.Popen`.
        content: What it reads; None: as `stdin` says.
        options: As for `subprocess.Popen`.

    Raises:
        CalledProcessError: It did not end well.
        SystemExit: A signal came, and it was ended.
    """
    if content is not None:
        options["stdin"] = subprocess.PIPE
    with started(command, **options) as process:
        output, _ = process.communicate(content)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command, output)
    return subprocess.CompletedProcess(command, process.returncode, output)


@contextmanager
def started(
    command: Sequence[Any], make: Callable[..., Any] = subprocess.Popen, **options: Any
) -> Iterator[Any]:
    """Start a program, and end it with the block.

    Args:
        command: As for `make`.
        make: `subprocess.Popen`, or what is made like it.
        options: As for `make`.
    """
    with heard() if _is_main() else nullcontext():
        process = start_program(command, make, **options)
        try:
            yield process
        finally:
            end_program(process)


def start_program(
    command: Sequence[Any], make: Callable[..., Any] = subprocess.Popen, **options: Any
) -> Any:
    """Start a program, which whoever calls this ends with `end_program`; arguments as `started`."""
    return _PROGRAMS.start(command, make, options)


@contextmanager
def heard() -> Iterator[None]:
    """Have signals end what is started within, in whichever thread; the main one calls this.

    What is ignored stays so, as under `nohup`. It may be called within itself.

    A thread of its own has them told. Python's handlers run in the main thread alone, which does
    not hear of a signal that comes just as it begins to wait for the others.
    """
    if _PROGRAMS.is_heard:
        yield
        return
    before = {each: signal.getsignal(each) for each in SIGNALS}
    taken = [each for each, handler in before.items() if handler is not signal.SIG_IGN]
    with _told_by_a_thread():
        for each in taken:
            signal.signal(each, _PROGRAMS.on_signal)
        _PROGRAMS.is_heard = True
        try:
            yield
        finally:
            _PROGRAMS.is_heard = False
            for each in taken:
                signal.signal(each, before[each])


@contextmanager
def _told_by_a_thread() -> Iterator[None]:
    """Have a thread read which signals Python has a handler for and come, and tell programs."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    thread = threading.Thread(target=_tell_as_they_come, args=(reading,), daemon=True)
    thread.start()
    before = signal.set_wakeup_fd(writing)
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        os.close(writing)
        thread.join()
        os.close(reading)


def _tell_as_they_come(reading: int) -> None:
    while numbers := os.read(reading, 64):
        for number in numbers:
            if number in SIGNALS:
                _PROGRAMS.tell(number)


def end_program(process: Any, stop_s: float = STOP_S) -> None:
    """End a program with all that is in its session, if it still runs."""
    is_running = process.poll() is None
    if is_running:
        _tell(process, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired, psutil.TimeoutExpired):
            process.wait(stop_s)
    if is_running or _PROGRAMS.number is not None:
        _tell(process, signal.SIGKILL)
        process.wait()
    _PROGRAMS.running.discard(process)


def _is_main() -> bool:
    return threading.current_thread() is threading.main_thread()


def _tell_all(processes: Sequence[Any], number: int) -> None:
    for each in processes:
        if each.poll() is None:
            _tell(each, number)


def _tell(process: Any, number: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)
