"""Copies of what was refused: how many there are, and of which outside answers."""

from __future__ import annotations

from label_queue.ledger.records import DeadLetter, RefusedAnswer


class DeadLetters:
    """A fold over the copies, which are at most as many as the config says."""

    def __init__(self) -> None:
        self.num_kept = 0
        self._answers: set[RefusedAnswer] = set()

    def take(self, letter: DeadLetter) -> None:
        """Take in a copy."""
        self.num_kept += 1
        if letter.answer is not None:
            self._answers.add(letter.answer)

    def has(self, answer: RefusedAnswer) -> bool:
        """Say whether there is a copy of an outside answer."""
        return answer in self._answers
