"""How a run is ended from outside: by a signal, or by a request left in its folder.

A thread of its own listens, so that a run is stopped also while its event loop is blocked, waits in
Ray, or hangs. What it does and when is `StopClock`'s; the run says what there is to finish:

    with Ending(folder, stop_s=15.0) as ending:
        ending.run(conduct(…))                     cancelled where it stands,
            with ending.finishing_by(stop): …      but told to finish within here, and let be after
        ending.told()                              the state is written: nothing is cut off any more
"""

from __future__ import annotations

import asyncio
import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Self

from cluster.interrupted import Interrupted, in_words
from cluster.run_folder import RunFolder
from cluster.stop_clock import StopClock, Urge
from protocol.errors import AndonError

POLL_S = 0.5
"""How soon a request in the folder is read."""
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
END_LISTENING = b"\0"


class Ending:
    """Context manager of the main thread: takes the signals, and gives them back.

    Args:
        folder: The run's, where requests are left.
        stop_s: How long the run may take to stop by itself.
    """

    def __init__(self, folder: RunFolder, stop_s: float) -> None:
        self._folder = folder
        self._clock = StopClock(stop_s)
        self._taken_up_at, self._taken_up_s = time.time(), time.monotonic()
        """When this process took the run up: Unix seconds, and by a clock that nobody sets."""
        self.reason: str | None = None
        """Why the run was asked to stop, if it was, whether or not that came too late."""
        self.has_stopped = False
        """Whether the run ends because of that."""
        self.is_cancelled = False
        """Whether it was ended where it stood: what fails from then on fails for that."""
        self.signal_number: int | None = None
        """The signal that asked for it, if one did."""
        self._end_at_once: Callable[[], None] = lambda: None
        self._finish: Callable[[], None] | None = self._cancel
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._may_raise = True
        self._is_told = False
        self._handlers: dict[int, object] = {}
        self._thread = threading.Thread(target=self._listen, name="ending", daemon=True)

    def __enter__(self) -> Self:
        self._ears, self._mouth = socket.socketpair()
        self._mouth.setblocking(False)
        self._ears.setblocking(False)
        # Written by C code at once, also while the main thread is deep in Ray's.
        self._fd_before = signal.set_wakeup_fd(self._mouth.fileno(), warn_on_full_buffer=False)
        for number in SIGNALS:
            # What is ignored stays so: by `nohup`, and for what a script leaves in the background.
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._handlers[number] = signal.signal(number, self._on_signal)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # as it was given
        signal.set_wakeup_fd(self._fd_before)
        self._mouth.send(END_LISTENING)
        self._thread.join()
        self._ears.close()
        self._mouth.close()

    def run(self, work: Coroutine[None, None, None]) -> None:
        """Run a coroutine to its end; CancelledError where it was stopped before."""
        self._may_raise = False

        async def cancellable() -> None:
            self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
            if self.reason is not None:  # asked before there was a task to cancel
                self._cancel()
            await work

        asyncio.run(cancellable())

    @contextmanager
    def finishing_by(self, stop: Callable[[], None]) -> Iterator[None]:
        """Within the block a stop lets work finish; after it, what follows is the end anyway.

        Args:
            stop: Asks for that; called in the event loop.
        """

        def finish() -> None:
            self.has_stopped = True
            stop()

        self._finish = finish
        try:
            yield
        except BaseException:
            self._finish = self._cancel  # it may begin anew
            raise
        self._finish = None

    def at_the_cut(self, end_at_once: Callable[[], None]) -> None:
        """Name what kills all that the run started; called in another thread, and must not wait."""
        self._end_at_once = end_at_once

    def took_s(self) -> float:
        """Return how long the run has taken since it first began, seconds; asks its folder.

        What somebody made of the machine's clock meanwhile is no part of it.
        """
        state = self._folder.read_state("started_at")
        before_s = max(self._taken_up_at - float(state["started_at"]), state.get("wall_s") or 0.0)
        return before_s + time.monotonic() - self._taken_up_s

    def interrupted_by(self, error: BaseException) -> None:
        """Take note of what interrupted the run where no event loop ran, or of a cancellation."""
        self.has_stopped = True
        if isinstance(error, Interrupted):
            self._note(in_words(error.number), error.number)
        elif self.reason is None:
            self._note(in_words(signal.SIGINT), signal.SIGINT)

    def told(self) -> None:
        """The state is written and the processes are gone: what follows may be interrupted."""
        self._is_told = True
        self._may_raise = True

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        """Where no event loop runs, interrupt what the main thread does; else the thread acts."""
        if self._may_raise:
            self._may_raise = False
            raise Interrupted(number)

    def _listen(self) -> None:
        while True:
            soon = self._clock.seconds_until_due(time.monotonic())
            ready, _, _ = select.select(
                [self._ears], [], [], POLL_S if soon is None else min(POLL_S, soon)
            )
            heard = self._ears.recv(4096) if ready else b""
            if END_LISTENING in heard:
                return
            self._take(heard, time.monotonic())

    def _take(self, signals: bytes, now: float) -> None:
        """Heed signals, by number, and requests; then do what is due."""
        for number in signals:
            if number in self._handlers:
                self._note(in_words(number), number)
                self._clock.signalled(now)
        request = self._folder.stop_requested()
        if request is not None:
            self._note(request, None)
            self._clock.asked(now, at_once=self._folder.is_stop_urgent())
        for urge in self._clock.due(now):
            self._do(urge)

    def _note(self, reason: str, number: int | None) -> None:
        if self.reason is None:
            self.reason = reason
        if self.signal_number is None:
            self.signal_number = number

    def _do(self, urge: Urge) -> None:
        if self._is_told:
            return
        if urge is Urge.CUT:
            self._cut()
        elif self._loop is not None:
            with suppress(RuntimeError):  # it was closed meanwhile: the run is over
                act = self._let_finish if urge is Urge.FINISH else self._cancel
                self._loop.call_soon_threadsafe(act)

    def _let_finish(self) -> None:
        if self._finish is not None:
            self._finish()

    def _cancel(self) -> None:
        if self._task is not None and not self._task.done():
            self.has_stopped = self.is_cancelled = True
            self._task.cancel()

    def _cut(self) -> None:
        """Say how the run ended, kill what it started, and end: nothing else can be relied on."""
        reason = f"{self.reason}; killed while stopping"
        with suppress(AndonError, OSError):
            self._folder.update_state(
                state="stopped", stop_reason=reason, ended_at=time.time(), wall_s=self.took_s()
            )
        self._end_at_once()
        with suppress(OSError, ValueError):
            if sys.stdout.isatty():
                sys.stdout.write("\x1b[?25h\n")  # the display hides the cursor
            sys.stdout.flush()
            sys.stderr.write(f"andon: stopped ({reason})\n")
            sys.stderr.flush()
        os._exit(0 if self.signal_number is None else Interrupted(self.signal_number).exit_code)
