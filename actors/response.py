"""Where a response ends (Ziegler et al. 2019 §2.1): pure functions of its token ids.

All tokens sampled are trained on; only those up to and with the cut (or end) token are scored
and shown to people.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from actors.config import ResponseConfig, ResponseMode
from protocol.messages import FinishReason


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """Where a response ends, and why."""

    num_kept: int
    """Tokens up to and with the one that ends the response; all of them where none does."""
    is_complete: bool
    """Whether the response ended as it should."""
    finish_reason: FinishReason


def finish_reason(mode: ResponseMode, *, is_complete: bool) -> FinishReason:
    """Name why a response ended: at its cut token, at its end token, or out of length."""
    if not is_complete:
        return "length"
    return "cut" if mode == "fixed" else "end"


def find_ending(
    token_ids: Sequence[int], response: ResponseConfig, marker_id: int | None
) -> Ending:
    """Find the token that ends a response.

    Args:
        token_ids: [T], as sampled.
        response: In mode "fixed" a marker counts from index `cut_after` on, in mode "end_token"
            wherever it comes.
        marker_id: The id of the cut token or of the end token. None, for a fixed response
            without a cut token, keeps every token and calls the response complete.
    """
    if marker_id is None:
        return Ending(num_kept=len(token_ids), is_complete=True, finish_reason="length")
    first = response.cut_after if response.mode == "fixed" else 0
    for index in range(first, len(token_ids)):
        if token_ids[index] == marker_id:
            reason = finish_reason(response.mode, is_complete=True)
            return Ending(num_kept=index + 1, is_complete=True, finish_reason=reason)
    return Ending(num_kept=len(token_ids), is_complete=False, finish_reason="length")
