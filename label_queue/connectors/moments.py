"""Times of outside tools in one form, so that they can be compared as text."""

from __future__ import annotations

from datetime import UTC, datetime


def moment(text: str) -> str:
    """Return an ISO 8601 time in UTC with microseconds, e.g. "2026-01-02T03:04:05.000000Z".

    Tools leave out what is zero, and the zone: without one, UTC is meant. Raises ValueError for
    what is no time, or one that UTC has no year for.
    """
    # Not strftime, which writes the year 33 in two digits on some systems.
    return instant(text).isoformat(timespec="microseconds").replace("+00:00", "Z")


def unix_seconds(text: str) -> float:
    """Return an ISO 8601 time as Unix seconds. Raises ValueError."""
    return instant(text).timestamp()


def instant(text: str) -> datetime:
    """Return an ISO 8601 time in UTC. Raises ValueError."""
    parsed = datetime.fromisoformat(text)
    if parsed.tzinfo is None:
        parsed = parsed.replace(tzinfo=UTC)
    try:
        return parsed.astimezone(UTC)
    except OverflowError as error:
        raise ValueError(f"{text!r} is no time of the years 1 to 9999 in UTC") from error
