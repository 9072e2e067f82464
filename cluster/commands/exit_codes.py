"""What a command ends with, and what that says; `docs/EXIT_CODES.md` is this table for people."""

from __future__ import annotations

from dataclasses import dataclass

from protocol.errors import (
    AndonError,
    DiskFull,
    IntegrityError,
    LoopStarved,
    MemoryShort,
    PartFailed,
    PromptsExhausted,
    UserError,
)

EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_USER_ERROR = 2
EXIT_INTEGRITY = 3
EXIT_PART_FAILED = 4
EXIT_DISK_FULL = 5
EXIT_MEMORY_SHORT = 6
EXIT_PROMPTS_EXHAUSTED = 7
EXIT_STARVED = 8
EXIT_HUNG_UP = 129
EXIT_INTERRUPTED = 130
EXIT_TERMINATED = 143
"""As shells have it: 128 and the number of SIGHUP, SIGINT and SIGTERM."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExitCode:
    """One line of the table."""

    code: int
    name: str
    raised: type[AndonError] | None
    """The errors that end a command so, unless an earlier line has them; None: no error of ours."""


TABLE = (
    ExitCode(code=EXIT_DONE, name="done", raised=None),
    ExitCode(code=EXIT_DISK_FULL, name="disk full", raised=DiskFull),
    ExitCode(code=EXIT_MEMORY_SHORT, name="memory short", raised=MemoryShort),
    ExitCode(code=EXIT_PROMPTS_EXHAUSTED, name="prompts exhausted", raised=PromptsExhausted),
    ExitCode(code=EXIT_STARVED, name="starved", raised=LoopStarved),
    ExitCode(code=EXIT_USER_ERROR, name="user error", raised=UserError),
    ExitCode(code=EXIT_INTEGRITY, name="integrity", raised=IntegrityError),
    ExitCode(code=EXIT_PART_FAILED, name="part failed", raised=PartFailed),
    ExitCode(code=EXIT_FAILED, name="failed", raised=AndonError),
    ExitCode(code=EXIT_HUNG_UP, name="hung up", raised=None),
    ExitCode(code=EXIT_INTERRUPTED, name="interrupted", raised=None),
    ExitCode(code=EXIT_TERMINATED, name="terminated", raised=None),
)
"""The narrower error first."""


def exit_code_of(error: AndonError) -> int:
    """Return what a command ends with that raises an error of ours."""
    lines = (line for line in TABLE if line.raised is not None and isinstance(error, line.raised))
    return next(lines).code
