"""What a replay found: message by message, and in one word at the end."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from cluster.replay.difference import Difference


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Which versions are compared."""

    first: int = 0
    last: int | None = None
    """None: all to the end."""

    def holds(self, version: int) -> bool:
        """Whether a version is one of them."""
        return version >= self.first and not self.is_past(version)

    def is_past(self, version: int) -> bool:
        """Whether a version lies behind the last."""
        return self.last is not None and version > self.last


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One message that was made again."""

    what: str
    """E.g. "policy version 3"."""
    place: str
    """Where in the recording it lies."""
    difference: Difference | None = None
    """None: it is as recorded."""
    skipped: str = ""
    """Why it was not made again; empty: it was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """All outcomes of a replay in short."""

    num_compared: int
    num_different: int
    first: Outcome | None
    """First message that differs; None: none does."""
    skipped: dict[str, int]
    """How many were not made again, by the reason."""

    @classmethod
    def of(cls, outcomes: Iterable[Outcome]) -> Findings:
        """Count outcomes as they come."""
        num_compared = num_different = 0
        first: Outcome | None = None
        skipped: dict[str, int] = {}
        for outcome in outcomes:
            if outcome.skipped:
                skipped[outcome.skipped] = skipped.get(outcome.skipped, 0) + 1
                continue
            num_compared += 1
            if outcome.difference is not None:
                num_different += 1
                first = first or outcome
        return cls(
            num_compared=num_compared, num_different=num_different, first=first, skipped=skipped
        )

    def in_words(self, *, with_difference: bool) -> list[str]:
        """Return a few lines; with how the first that differs does so, if that is wanted."""
        same = self.num_compared - self.num_different
        lines = [f"{same} of {self.num_compared} as recorded"]
        lines += [f"{count} not replayed: {why}" for why, count in self.skipped.items()]
        if self.first is not None:
            lines.append(f"first that differs: {self.first.what} ({self.first.place})")
            if with_difference:
                lines.append(f"  {self.first.difference}")
        return lines
