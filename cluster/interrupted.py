"""A signal from outside ended a command: which, and what the command ends with then."""

from __future__ import annotations

import signal


class Interrupted(KeyboardInterrupt):
    """Raised in place of KeyboardInterrupt, which it is to whoever only cleans up.

    Args:
        number: Of the signal, e.g. SIGTERM's.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number

    @property
    def exit_code(self) -> int:
        """As shells have it: 128 and the number of the signal."""
        return 128 + self.number


def in_words(number: int) -> str:
    """Return what `run.json` says of a run that a signal ended, e.g. "interrupted by SIGTERM"."""
    return f"interrupted by {signal.Signals(number).name}"
