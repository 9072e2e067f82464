"""What a run reads with the policy's tokenizer: its two prompt streams, and other texts.

One stream is trained on; people are asked about the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from actors.config import ResponseConfig
from actors.end_tokens import model_end_ids
from actors.prompts.source import build_prompt_source
from actors.response import end_rule
from actors.tokenizer import load_tokenizer
from cluster.config import RunConfig
from cluster.guards.anchor_accuracy import AnchorPair
from cluster.starting.anchor_texts import read_anchor_pairs, review_anchors
from cluster.starting.normalisation_texts import read_normalisation_texts
from cluster.starting.pretraining_texts import read_pretraining
from cluster.starting.written_responses import ResponseReader
from label_queue.simulated.gold.registry import gold_of
from protocol.ending import EndRule
from protocol.errors import ConfigError
from protocol.model_folder import ModelFolder, inspect_model
from protocol.ports import PromptSource
from protocol.seeds import derived_seed
from protocol.tokenizing import PolicyTokenizer

if TYPE_CHECKING:
    from learners.pretraining import PretrainingBlocks


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTexts:
    """All that a run reads with the policy's tokenizer."""

    prompts: PromptSource
    """Prompts to train on."""
    query_prompts: PromptSource
    """Prompts to ask people about."""
    normalisation: list[tuple[int, ...]] | None
    """[N][T_n] tokens that the reward shall score 0 on average; None: samples of ρ normalise."""
    anchors: tuple[AnchorPair, ...] = ()
    """Pairs of known order, for a guard; none: the ledger's."""
    pretraining: PretrainingBlocks | None = None
    """Text to train on beside PPO, and to measure on."""


def read_texts(config: RunConfig, policy_path: Path) -> RunTexts:
    """Read prompts and other texts; of a large file or a dataset this takes a while.

    Raises:
        UserError: A file or dataset is missing or not what it says, a prompt is too long, or the
            response leaves no room for one.
    """
    prompts, query_prompts = prompt_sources(config, policy_path)
    return RunTexts(
        prompts=prompts,
        query_prompts=query_prompts,
        normalisation=normalisation_sequences(config, policy_path),
        anchors=anchor_pairs(config, policy_path),
        pretraining=(
            None
            if config.pretraining is None
            else read_pretraining(config.pretraining, policy_path)
        ),
    )


def prompt_sources(config: RunConfig, policy_path: Path) -> tuple[PromptSource, PromptSource]:
    """Return the prompts to train on and those of queries, as the policy's tokenizer reads them.

    Raises:
        UserError: A file or dataset is missing or not what it says, a prompt is too long, or the
            response leaves no room for one.
    """
    model = inspect_model(policy_path)
    context = _run_context(config, model)
    room = context - config.response.max_tokens
    if room < 1:
        raise ConfigError(
            f"response.max_tokens {config.response.max_tokens} leaves no room for a prompt in a "
            f"context of {context} tokens: lower it, or take a model or rollouts.max_model_len of "
            "longer context"
        )
    train = build_prompt_source(
        config.prompts,
        load_tokenizer(policy_path),
        room_tokens=room,
        response_tokens=config.response.max_tokens,
        model=model,
    )
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
    model = inspect_model(policy_path)
    context = _run_context(config, model)
    reader = PolicyTokenizer(load_tokenizer(policy_path))
    rule = written_end_rule(config.response, reader, model)
    responses = ResponseReader(reader, rule, context, model)
    return read_normalisation_texts(Path(path), responses)


def anchor_pairs(config: RunConfig, policy_path: Path) -> tuple[AnchorPair, ...]:
    """Return the pairs of the config's file, or those of the generator; none: the ledger's.

    Those of the generator are ordered by the score that simulated labelers label by: they are
    taken only where nobody else labels, and people may want something else.

    Raises:
        UserError: The file is missing or not what it says.
    """
    wanted = config.guards.anchor_accuracy
    is_ours = config.prompts.source == "reviews" and bool(config.labelers) and not config.people
    if not wanted.is_on or not (wanted.path or is_ours):
        return ()
    model = inspect_model(policy_path)
    reader = PolicyTokenizer(load_tokenizer(policy_path))
    rule = written_end_rule(config.response, reader, model)
    if not wanted.path:
        return review_anchors(
            reader,
            rule,
            gold_of(config.gold or "reviews"),
            prompt_tokens=config.prompts.prompt_tokens,
            max_tokens=config.response.max_tokens,
            count=wanted.num_pairs,
            seed=config.prompts.seed,
        )
    context = _run_context(config, model)
    responses = ResponseReader(reader, rule, context, model)
    return read_anchor_pairs(Path(wanted.path), responses)


def written_end_rule(
    response: ResponseConfig, tokenizer: PolicyTokenizer, model: ModelFolder
) -> EndRule:
    """Return where responses end that were written and not sampled: where sampled ones do.

    Raises:
        ConfigError: No token reads a text of the config, or the model has no end token.
        InputError: A file of the model's is not what it should be.
    """
    end_ids = model_end_ids(model.path, tokenizer.eos_token_id, model.num_embeddings)
    return end_rule(response, model_end_ids=end_ids, ids_reading=tokenizer.ids_reading)


def _run_context(config: RunConfig, model: ModelFolder) -> int:
    """Return the tokens of the model's context that the run uses.

    Raises:
        ConfigError: Neither config nor model names a bound, or the config's is above the model's.
    """
    context, chosen = model.context_length, config.rollouts.max_model_len
    if context is None and chosen is None:
        raise ConfigError(
            f"{model.path} names no context length ({model.architecture}): set "
            "rollouts.max_model_len, tokens of prompt and response together"
        )
    if context and chosen and chosen > context and not model.is_stretched:
        raise ConfigError(
            f"rollouts.max_model_len {chosen} is above the context of {model.path}, {context} "
            "tokens: lower it, or leave it out"
        )
    return chosen or context or 0
