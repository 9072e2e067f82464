"""What can be set about every guard."""

from __future__ import annotations

from protocol.settings import Settings


class GuardSettings(Settings):
    """The base of each guard's section."""

    is_on: bool = True
    """Whether it looks at the run, and stops the line where it trips."""
