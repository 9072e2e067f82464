"""The log of a process: a line an event on its standard output, JSON unless people look on.

    log = logger_of("reward_service")
    log.warning("version withdrawn", reward_version=7)

in a terminal       2026-01-31T09:30:00Z [warning  ] version withdrawn  component=… reward_version=7
in a file or pipe   {"event": "version withdrawn", "component": …, "reward_version": 7, …}

A line that cannot be written is dropped: who says something on the way must not fail for that.
Standard error is left to the one line that says why a command failed. Tracebacks show no local
variables: those may hold people's words and secrets, and to describe them stops a process for
seconds. Whoever has set structlog up already keeps that.
"""

from __future__ import annotations

import sys
from contextlib import suppress

import structlog
from structlog.dev import ConsoleRenderer, plain_traceback
from structlog.processors import ExceptionRenderer, JSONRenderer, TimeStamper, add_log_level
from structlog.tracebacks import ExceptionDictTransformer
from structlog.typing import EventDict, FilteringBoundLogger, WrappedLogger

_FOR_PEOPLE = ConsoleRenderer(exception_formatter=plain_traceback)
_TRACEBACK_AS_JSON = ExceptionRenderer(ExceptionDictTransformer(show_locals=False))
_AS_JSON = JSONRenderer()


def logger_of(component: str, **bound: object) -> FilteringBoundLogger:
    """Return a part's logger.

    Args:
        component: The part, e.g. "intake"; on every line.
        bound: What else every line says, e.g. rank or connector.
    """
    if not structlog.is_configured():
        structlog.configure(
            processors=[
                structlog.contextvars.merge_contextvars,
                add_log_level,
                structlog.dev.set_exc_info,
                TimeStamper(fmt="iso", utc=True),
                _render,
            ],
            # As it is when the line is written: Ray and a live display put their own there.
            logger_factory=lambda *_: _Outlived(sys.stdout),
        )
    logger: FilteringBoundLogger = structlog.get_logger(component=component, **bound)
    return logger


class _Outlived(structlog.PrintLogger):
    """Drops a line that cannot be written: nobody reads it any more, or its disk is full.

    It is said on the way of something else, which must not fail for that.
    """

    def msg(self, message: str) -> None:
        with suppress(OSError):
            super().msg(message)

    log = debug = info = warn = warning = msg
    fatal = failure = err = error = critical = exception = msg


def _render(logger: WrappedLogger, method: str, event: EventDict) -> str | bytes:
    if sys.stdout.isatty():
        return _FOR_PEOPLE(logger, method, event)
    return _AS_JSON(logger, method, _TRACEBACK_AS_JSON(logger, method, event))
