"""Standard output and error that whoever writes to them outlives.

What a run shows is a view of it, all of which is in its folder too: that nobody can be shown it any
more ends no run. So it is where the terminal was closed, where the `tee` or `head` that the lines
went to has ended, which Ctrl-C does to it before the run has stopped, and where the disk of the
file that they go to is full.
"""

from __future__ import annotations

import codecs
import errno
import io
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_NOBODY_THERE = (errno.EPIPE, errno.EIO)
"""What is said of a pipe that nobody reads, and of a terminal that was closed."""
_PLAINER = str.maketrans({"─": "-", "–": "-", "…": "..."})
"""What tables and cut texts are drawn with, in characters that every encoding has."""


def _in_characters_there_are(error: UnicodeError) -> tuple[str, int]:
    """Return what is written for characters that an encoding has not, and where to go on."""
    assert isinstance(error, UnicodeEncodeError), "streams that are written to are told of no other"
    lacking = error.object[error.start : error.end].translate(_PLAINER)
    return lacking.encode("ascii", "backslashreplace").decode(), error.end


_SHOWN_OTHERWISE = "andon.shown_otherwise"
codecs.register_error(_SHOWN_OTHERWISE, _in_characters_there_are)


@contextmanager
def outlived_streams(names: Sequence[str] = ("stdout", "stderr")) -> Iterator[None]:
    """Within the block, what cannot be written to the standard streams is dropped; nothing raises.

    A stream that has no file behind it is left as it is.

    Args:
        names: Which of them, by their names in `sys`.
    """
    before = {name: getattr(sys, name) for name in names}
    within = {name: _outlived(stream) for name, stream in before.items()}
    for name, stream in within.items():
        setattr(sys, name, stream)
    try:
        yield
    finally:
        for name, was in before.items():
            setattr(sys, name, was)
            within[name].close() if was is None else within[name].flush()


def show_every_character() -> None:
    """Have the standard streams show, as escapes at worst, what their encodings cannot hold.

    To write a ρ to a terminal that is Latin-1's would be an error else.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_SHOWN_OTHERWISE)


def _outlived(stream: TextIO | None) -> TextIO:
    if stream is None:  # the process was begun without one
        return Path(os.devnull).open("w", encoding="utf-8")
    try:
        descriptor = stream.fileno()
    except (OSError, ValueError):  # none, or a closed one
        return stream
    with suppress(OSError):
        stream.flush()  # what waits there comes first
    return io.TextIOWrapper(
        io.BufferedWriter(_Outlet(descriptor)),
        encoding=stream.encoding,
        errors=_SHOWN_OTHERWISE,
        line_buffering=True,
    )


class _Outlet(io.FileIO):
    """A descriptor that takes whatever is written, and drops what the system does not take."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, "w", closefd=False)

    def write(self, content: ReadableBuffer, /) -> int:
        taken = None  # as it stays where somebody made it non-blocking, and it is full
        try:
            taken = super().write(content)
        except OSError as error:
            if error.errno in _NOBODY_THERE:
                self._lead_nowhere()
        return memoryview(content).nbytes if taken is None else taken

    def _lead_nowhere(self) -> None:
        """Lead the descriptor nowhere: the interpreter, too, writes there as it ends."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, self.fileno())
        finally:
            os.close(nowhere)
