"""What a run reads with the policy's tokenizer: its two prompt streams, and texts to score 0.

One stream is trained on; people are asked about the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from actors.prompts.source import build_prompt_source
from cluster.config import RunConfig
from cluster.starting.normalisation_texts import read_normalisation_texts
from protocol.errors import ConfigError
from protocol.ports import PromptSource
from protocol.seeds import derived_seed

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTexts:
    """All that a run reads with the policy's tokenizer."""

    prompts: PromptSource
    """To train on."""
    query_prompts: PromptSource
    """To ask people about."""
    normalisation: list[tuple[int, ...]] | None
    """[N][T_n] what the reward shall score 0 on average; None: samples of ρ normalise."""


def read_texts(config: RunConfig, policy_path: Path) -> RunTexts:
    """Read prompts and normalisation texts; of a large file or a dataset this takes a while.

    Raises:
        UserError: A file or dataset is missing or not what it says, a prompt is too long, or the
            response leaves no room for one.
    """
    prompts, query_prompts = prompt_sources(config, policy_path)
    return RunTexts(
        prompts=prompts,
        query_prompts=query_prompts,
        normalisation=normalisation_sequences(config, policy_path),
    )


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
    # Query prompts come from a stream of their own, so that how often people are asked does not
    # change which prompts are trained on.
    return train, train.reseeded(derived_seed(config.prompts.seed, "query prompts"))


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


def load_tokenizer(policy_path: Path) -> PreTrainedTokenizerBase:
    """Return a policy's tokenizer."""
    # transformers takes seconds to import.
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(policy_path)


def _tokenizer_and_context(
    config: RunConfig, policy_path: Path
) -> tuple[PreTrainedTokenizerBase, int]:
    """Return the policy's tokenizer, and the tokens of its context that the run uses."""
    from transformers import AutoConfig

    model = AutoConfig.from_pretrained(policy_path)
    context = config.rollouts.max_model_len or model.max_position_embeddings
    return load_tokenizer(policy_path), int(context)
