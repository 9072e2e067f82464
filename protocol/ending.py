"""Where a response ends (Ziegler et al. 2019 §2.1), sampled or written: pure in its token ids.

All tokens sampled are trained on; only those up to and with the cut (or end) token are scored and
shown to people. Responses that came from elsewhere are kept by the same rule, so that a reward
model reads the same last token in training as in use.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from protocol.messages import FinishReason

ResponseMode = Literal["fixed", "end_token"]
"""Whether responses are cut from a fixed number of tokens, or sampled until an end token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """Where a response ends, and why."""

    num_kept: int
    """Tokens up to and with the one that ends the response; all of them where none does."""
    is_complete: bool
    """Whether the response ended as it should."""
    finish_reason: FinishReason


@dataclass(frozen=True, slots=True, kw_only=True)
class EndRule:
    """What ends the responses of a run."""

    mode: ResponseMode
    marker_ids: frozenset[int]
    """The cut tokens or the end tokens: any of them ends a response. Empty, for fixed responses
    without a cut token: every token is kept and the response is complete."""
    cut_after: int = 0
    """Index from which a marker ends a fixed response; an end token ends one wherever it comes."""

    def find(self, token_ids: Sequence[int]) -> Ending:
        """Find the token that ends a response of token ids [T], as sampled."""
        if not self.marker_ids:
            return Ending(num_kept=len(token_ids), is_complete=True, finish_reason="length")
        first = self.cut_after if self.mode == "fixed" else 0
        for index in range(first, len(token_ids)):
            if token_ids[index] in self.marker_ids:
                reason: FinishReason = "cut" if self.mode == "fixed" else "end"
                return Ending(num_kept=index + 1, is_complete=True, finish_reason=reason)
        return Ending(num_kept=len(token_ids), is_complete=False, finish_reason="length")

    def closed(self, token_ids: tuple[int, ...], end_id: int | None) -> tuple[int, ...]:
        """Return a written response [T] with the end token that a sampled one would have.

        Args:
            token_ids: Of the text.
            end_id: The model's end token; None: it has none.
        """
        if self.mode == "fixed" or end_id is None or self.find(token_ids).is_complete:
            return token_ids
        return (*token_ids, end_id)

    def shown(self, token_ids: tuple[int, ...]) -> tuple[int, ...]:
        """Return those kept tokens [T] that people see: an end token is no part of the text."""
        is_ended = self.mode == "end_token" and token_ids[-1:] and token_ids[-1] in self.marker_ids
        return token_ids[:-1] if is_ended else token_ids
