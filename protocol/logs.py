"""The log of a process: a line an event on its standard output, JSON unless people look on.

    log = logger_of("reward_service")
    log.warning("version withdrawn", reward_version=7)

in a terminal       2026-01-31T09:30:00Z [warning  ] version withdrawn  component=… reward_version=7
in a file or pipe   {"event": "version withdrawn", "component": …, "reward_version": 7, …}

Standard error is left to the one line that says why a command failed. Tracebacks show no local
variables: those may hold people's words and secrets, and to describe them stops a process for
seconds. Whoever has set structlog up already keeps that.
"""

from __future__ import annotations

import sys

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
            logger_factory=lambda *_: structlog.PrintLogger(sys.stdout),
        )
    logger: FilteringBoundLogger = structlog.get_logger(component=component, **bound)
    return logger


def _render(logger: WrappedLogger, method: str, event: EventDict) -> str | bytes:
    if sys.stdout.isatty():
        return _FOR_PEOPLE(logger, method, event)
    return _AS_JSON(logger, method, _TRACEBACK_AS_JSON(logger, method, event))
