"""Which outside answers were refused: each is counted once, and kept as a copy once.

A tool is read whole at each start, and now and then, and each time what was refused is in it again.
Which answers are kept as a copy is in the ledger; of those for which there was no room it is known
until the next start.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from label_queue.config import IntakeConfig
from label_queue.connectors.port import Unreadable
from label_queue.connectors.rows import writable
from label_queue.folds.dead_letters import DeadLetters
from label_queue.ledger.records import DeadLetter, RefusedAnswer

MAX_FIELD_CHARS = 200
MAX_MESSAGE_CHARS = 1_000
"""Characters kept of a refusal's message: like its field it may quote what was sent."""
MAX_REFUSALS_KNOWN = 10_000
"""Refused answers remembered beside those that are kept."""


class Refusals:
    """What was refused of all connectors so far."""

    def __init__(
        self, kept: DeadLetters, limits: IntakeConfig, *, clock: Callable[[], float]
    ) -> None:
        """Look at the copies in the ledger; `limits` says how many there may be, and how long."""
        self._kept = kept
        self._limits = limits
        self._clock = clock
        self._others: set[RefusedAnswer] = set()

    def has(self, answer: RefusedAnswer) -> bool:
        """Say whether an answer was refused before."""
        return answer in self._others or self._kept.has(answer)

    def add(self, answers: Iterable[RefusedAnswer]) -> None:
        """Remember what was refused, now that the copies of it are in the ledger."""
        for answer in answers:
            if len(self._others) < MAX_REFUSALS_KNOWN and not self._kept.has(answer):
                self._others.add(answer)

    def copy_of(self, said: Unreadable, answer: RefusedAnswer, num_more: int) -> DeadLetter | None:
        """Return the copy to be kept of an answer; None where there are enough.

        Args:
            said: What is refused of it.
            answer: Which it is.
            num_more: Copies that are about to be written.
        """
        if self._kept.num_kept + num_more >= self._limits.max_dead_letters:
            return None
        return DeadLetter(
            received_at=self._clock(),
            labeler_id=answer.connector,
            field=writable(said.field, MAX_FIELD_CHARS),
            message=writable(said.message, MAX_MESSAGE_CHARS),
            payload=writable(said.payload, self._limits.dead_letter_chars),
            answer=answer,
        )
