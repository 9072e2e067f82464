"""How the starting policy ends its responses, told before anyone labels.

A run whose responses rarely end is lost quietly: each response that does not end gets the fixed
score, and nobody is ever shown it. What ρ writes around its ends tells why.
"""

from __future__ import annotations

from collections.abc import Sequence

from actors.config import ResponseConfig
from cluster.inert_text import inert
from protocol.errors import InputError
from protocol.messages import Rollout
from protocol.tokenizing import PolicyTokenizer

ENOUGH_DRAWS = 64
"""Responses that suffice to tell: if one in ten ends, one of these does (chance of a mistake: 0.1
%)."""
FEW_SHARE = 0.5
"""Share of ended responses below which something is likely wrong with where they are to end."""
MEND = (
    'name what it ends them with in response.cut_token (for mode "fixed", with a lower '
    'response.cut_after) or response.end_tokens (for "end_token"), or raise response.max_tokens'
)
NUM_SHOWN = 3
CHARACTERS_BEFORE, CHARACTERS_AFTER = 48, 24
END_MARK = "▌"


def refuse_endless(draws: Sequence[Rollout]) -> None:
    """Raise InputError where ρ was drawn from often enough and never ended a response.

    Args:
        draws: The first draw of each response, ended or not.
    """
    if len(draws) >= ENOUGH_DRAWS and not any(rollout.is_complete for rollout in draws):
        example = inert(_visible(draws[0].text)[-CHARACTERS_BEFORE:])
        raise InputError(
            f"the starting policy ended none of {len(draws)} responses; one of them stops at "
            f"“…{example}”: {MEND}"
        )


def ends_in_words(
    draws: Sequence[Rollout], response: ResponseConfig, tokenizer: PolicyTokenizer
) -> list[str]:
    """Return lines that say how many responses of ρ ended, with the text around some ends.

    Args:
        draws: The first draw of each response, ended or not; one at least.
        response: What the config says of responses.
        tokenizer: The policy's, to show what follows an end.
    """
    ended = [rollout for rollout in draws if rollout.is_complete]
    lines = [f"ρ ended {len(ended)} of {len(draws)} responses, by {_marker(response)}"]
    lines += [f"  {_around_end(rollout, tokenizer)}" for rollout in ended[:NUM_SHOWN]]
    endless = [rollout for rollout in draws if not rollout.is_complete]
    lines += [f"  {_around_end(rollout, tokenizer)}  (no end)" for rollout in endless[:NUM_SHOWN]]
    if len(ended) < FEW_SHARE * len(draws):
        lines.append(
            f"warning: few end; each that does not scores {response.missing_cut_score:g} and is "
            f"shown to nobody: {MEND}"
        )
    return lines


def _around_end(rollout: Rollout, tokenizer: PolicyTokenizer) -> str:
    kept = tokenizer.shown_text(rollout.token_ids[: rollout.num_kept])
    # Decoded together, so that what follows is spaced as it was.
    after = tokenizer.shown_text(rollout.token_ids).removeprefix(kept)
    mark = END_MARK if rollout.is_complete else ""
    before, after = _visible(kept)[-CHARACTERS_BEFORE:], _visible(after)[:CHARACTERS_AFTER]
    return inert(f"…{before}{mark}{after}")


def _visible(text: str) -> str:
    return text.replace("\n", "⏎")


def _marker(response: ResponseConfig) -> str:
    if response.mode == "end_token":
        named = ", ".join(map(repr, response.end_tokens))
        return f"an end token ({named or 'those of the model'}) within {response.max_tokens} tokens"
    if not response.cut_token:
        return f"their length of {response.max_tokens} tokens"
    return (
        f"the cut token {response.cut_token!r} from token {response.cut_after + 1} to "
        f"{response.max_tokens}"
    )
