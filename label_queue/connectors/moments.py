"""Times of outside tools in one form, so that they can be compared as text."""

from __future__ import annotations

from datetime import UTC, datetime


def moment(text: str) -> str:
    """Return an ISO 8601 time in UTC with microseconds, e.g. "2026-01-02T03:04:05.000000Z".

    Tools leave out what is zero, and the zone: without one, UTC is meant. Raises ValueError.
    """
    return _parse(text).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def unix_seconds(text: str) -> float:
    """Return an ISO 8601 time as Unix seconds. Raises ValueError."""
    return _parse(text).timestamp()


def _parse(text: str) -> datetime:
    parsed = datetime.fromisoformat(text)
    if parsed.tzinfo is None:
        parsed = parsed.replace(tzinfo=UTC)
    return parsed.astimezone(UTC)
