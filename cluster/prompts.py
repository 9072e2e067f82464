"""The two prompt streams of a run: those that are trained on, and those people are asked about."""

from __future__ import annotations

from pathlib import Path

from actors.prompts.config import PromptsConfig
from actors.prompts.source import build_prompt_source
from cluster.config import RunConfig
from protocol.ports import PromptSource

# Query prompts come from a stream of their own, so that how often people are asked does not
# change which prompts are trained on.
QUERY_PROMPTS_SEED = 7919


def prompt_sources(config: RunConfig, policy_path: Path) -> tuple[PromptSource, PromptSource]:
    """Return the prompts to train on and those of queries, as the policy's tokenizer reads them.

    Raises:
        UserError: A file or dataset is missing or not what it says, or a prompt is too long.
    """
    # transformers takes seconds to import.
    from transformers import AutoConfig, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(policy_path)
    model = AutoConfig.from_pretrained(policy_path)
    context = config.rollouts.max_model_len or model.max_position_embeddings
    room = context - config.response.max_tokens
    chosen = config.prompts
    train, queries = (
        build_prompt_source(
            PromptsConfig.model_validate({**chosen.model_dump(), "seed": seed}),
            tokenizer,
            room_tokens=room,
        )
        for seed in (chosen.seed, chosen.seed + QUERY_PROMPTS_SEED)
    )
    return train, queries
