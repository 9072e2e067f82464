"""What a run reads with the policy's tokenizer: its two prompt streams, and texts to score 0.

One stream is trained on; people are asked about the other.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from actors.prompts.source import build_prompt_source
from cluster.config import RunConfig
from cluster.normalisation_texts import read_normalisation_texts
from protocol.errors import ConfigError
from protocol.ports import PromptSource

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# Query prompts come from a stream of their own, so that how often people are asked does not
# change which prompts are trained on.
QUERY_PROMPTS_SEED = 7919


def prompt_sources(config: RunConfig, policy_path: Path) -> tuple[PromptSource, PromptSource]:
    """Return the prompts to train on and those of queries, as the policy's tokenizer reads them.

    Raises:
        UserError: A file or dataset is missing or not what it says, a prompt is too long, or the
            response leaves no room for one.
    """
    tokenizer, context = _tokenizer_and_context(config, policy_path)
    room = context - config.response.max_tokens
    if room < 1:
        raise ConfigError(
            f"response.max_tokens {config.response.max_tokens} leaves no room for a prompt in a "
            f"context of {context} tokens: lower it, or take a model or rollouts.max_model_len of "
            "longer context"
        )
    train = build_prompt_source(config.prompts, tokenizer, room_tokens=room)
    return train, train.reseeded(config.prompts.seed + QUERY_PROMPTS_SEED)


def normalisation_sequences(config: RunConfig, policy_path: Path) -> list[tuple[int, ...]] | None:
    """Return the texts that the reward shall score 0 on average; None: samples of ρ normalise.

    Raises:
        UserError: The file is missing or not what it says.
    """
    path = config.reward_model.normalisation_path
    if not path:
        return None
    tokenizer, context = _tokenizer_and_context(config, policy_path)
    return read_normalisation_texts(Path(path), tokenizer, context)


def _tokenizer_and_context(
    config: RunConfig, policy_path: Path
) -> tuple[PreTrainedTokenizerBase, int]:
    """Return the policy's tokenizer, and the tokens of its context that the run uses."""
    # transformers takes seconds to import.
    from transformers import AutoConfig, AutoTokenizer

    model = AutoConfig.from_pretrained(policy_path)
    context = config.rollouts.max_model_len or model.max_position_embeddings
    return AutoTokenizer.from_pretrained(policy_path), int(context)
