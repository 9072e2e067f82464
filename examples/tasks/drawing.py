"""Responses that a policy draws, in this process: as a run's actors draw them, and end them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from actors.config import ResponseConfig
from actors.end_tokens import model_end_ids
from actors.response import end_rule
from protocol.messages import ChatMessage
from protocol.tokenizing import PolicyTokenizer
from reward_service.pretrained import load_causal_model, load_tokenizer

PROMPTS_A_PASS = 64
Content = str | Sequence[ChatMessage]
"""What a prompt says: a text, or a chat."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """One response."""

    text: str
    """As people are shown it."""
    is_complete: bool = True
    """Whether it ended in time; what a policy drew may not have."""


@torch.no_grad()
def draw(
    policy: Path, prompts: Sequence[Content], response: ResponseConfig, seed: int
) -> list[Response]:
    """Return one response of a policy to each prompt.

    Args:
        policy: Its folder.
        prompts: Texts, or the turns of chats, of any lengths.
        response: How long, how warm, and what ends it.
        seed: Of all draws.
    """
    model = load_causal_model(policy).eval()
    tokenizer = PolicyTokenizer(load_tokenizer(policy))
    end_ids = model_end_ids(policy, tokenizer.eos_token_id, model.config.vocab_size)
    rule = end_rule(response, model_end_ids=end_ids, ids_reading=tokenizer.ids_reading)
    generator = torch.Generator().manual_seed(seed)
    found: list[Response] = []
    for start in range(0, len(prompts), PROMPTS_A_PASS):
        rows = [
            tokenizer.prompt_ids(each, where=f"prompt {start + number}")
            for number, each in enumerate(prompts[start : start + PROMPTS_A_PASS])
        ]
        for tokens in _sampled(model, rows, response, generator):
            ending = rule.find(tokens)
            kept = rule.shown(tuple(tokens[: ending.num_kept]))
            found.append(Response(text=tokenizer.shown_text(kept), is_complete=ending.is_complete))
    return found


def _sampled(
    model: Any,
    rows: Sequence[tuple[int, ...]],
    response: ResponseConfig,
    generator: torch.Generator,
) -> list[list[int]]:
    """Return `max_tokens` tokens after each prompt; what comes after an end is not looked at."""
    longest = max(len(row) for row in rows)
    pads = [longest - len(row) for row in rows]
    ids = torch.tensor([[0] * pad + list(row) for pad, row in zip(pads, rows, strict=True)])
    mask = torch.tensor([[0] * pad + [1] * len(row) for pad, row in zip(pads, rows, strict=True)])
    drawn, past = [], None
    for _ in range(response.max_tokens):
        positions = (mask.cumsum(dim=1) - 1).clamp(min=0)[:, -ids.shape[1] :]
        out = model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=past,
            use_cache=True,
        )
        past = out.past_key_values
        shares = (out.logits[:, -1].float() / response.temperature).softmax(dim=-1)
        ids = torch.multinomial(shares, 1, generator=generator)
        mask = torch.cat((mask, torch.ones_like(ids)), dim=1)
        drawn.append(ids)
    return [list(map(int, row)) for row in torch.cat(drawn, dim=1)]
