"""What a rollout worker is asked in tests, and where its responses end."""

from __future__ import annotations

from actors.config import ResponseConfig
from protocol.messages import Prompt, RolloutRequest, Sampling

RESPONSE = ResponseConfig(max_tokens=8, cut_after=2)


def request(number: int = 0, *, prompt: tuple[int, ...] = (5, 6, 7)) -> RolloutRequest:
    """Ask for a response of 8 tokens; the same number is the same request."""
    return RolloutRequest(
        rollout_id=f"t-{number}",
        prompt=Prompt(prompt_id=f"p-{number}", text="soup very the", token_ids=prompt),
        purpose="train",
        sampling=Sampling(temperature=1.0, max_tokens=8),
    )
