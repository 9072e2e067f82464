"""What a check found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["ok", "warning", "failure"]
"""A failure keeps runs from working; a warning is worth knowing before one is begun."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of the doctor's."""

    verdict: Verdict
    name: str
    """Name of what was looked at, e.g. "disk"."""
    text: str
    """What was found."""
    mend: str = ""
    """What to do about it; empty where all is well."""

    def __str__(self) -> str:
        """Return the line."""
        mend = f"; {self.mend}" if self.mend else ""
        return f"{self.verdict:<8} {self.name:<14} {self.text}{mend}"


def ok(name: str, text: str) -> Finding:
    """Return that all is well."""
    return Finding(verdict="ok", name=name, text=text)


def warning(name: str, text: str, mend: str) -> Finding:
    """Return what is worth knowing."""
    return Finding(verdict="warning", name=name, text=text, mend=mend)


def failure(name: str, text: str, mend: str) -> Finding:
    """Return what keeps runs from working."""
    return Finding(verdict="failure", name=name, text=text, mend=mend)
