"""Times in the words of a page."""

from __future__ import annotations

UNITS = (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1))


def in_words(seconds: float) -> str:
    """Return a time in the largest unit it has two of: 604,800 is "7 days", 5,400 "90 minutes".

    What is left over is cut off, so that no more is promised than holds.
    """
    whole = int(seconds)
    name, size = next((unit for unit in UNITS if whole >= 2 * unit[1]), UNITS[-1])
    count = whole // size
    return f"{count} {name}" if count == 1 else f"{count} {name}s"
