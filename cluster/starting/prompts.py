"""What a run reads with the policy's tokenizer: its two prompt streams, and other texts.

One stream is trained on; people are asked about the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from actors.prompts.source import build_prompt_source
from cluster.config import RunConfig
from cluster.starting.anchor_texts import read_anchor_pairs, review_anchors
from cluster.starting.normalisation_texts import read_normalisation_texts
from cluster.starting.policy_reading import PolicyReading
from cluster.starting.pretraining_texts import read_pretraining
from cluster.starting.written_responses import ResponseReader
from label_queue.figures.known_order import KnownPair
from label_queue.simulated.gold.registry import gold_of
from protocol.errors import ConfigError
from protocol.logs import logger_of
from protocol.messages import Prompt
from protocol.model_folder import ModelFolder, inspect_model
from protocol.ports import PromptSource
from protocol.seeds import derived_seed

if TYPE_CHECKING:
    from learners.pretraining import PretrainingBlocks

_log = logger_of("prompts")
PROBE_TOKENS = 256
"""Tokens of the probe, at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTexts:
    """All that a run reads with the policy's tokenizer."""

    prompts: PromptSource
    """Prompts to train on."""
    query_prompts: PromptSource
    """Prompts to ask people about."""
    normalisation: list[tuple[int, ...]] | None
    """[N][T_n] tokens that the reward shall score 0 on average; None: samples of ρ normalise."""
    anchors: tuple[KnownPair, ...] = ()
    """Pairs of known order, for a guard; none: the ledger's."""
    pretraining: PretrainingBlocks | None = None
    """Text to train on beside PPO, and to measure on."""


def read_texts(config: RunConfig, policy: PolicyReading) -> RunTexts:
    """Read prompts and other texts; of a large file or a dataset this takes a while.

    Raises:
        UserError: A file or dataset is missing or not what it says, a prompt is too long, the
            response leaves no room for one, or what ends it is no token of the policy's.
    """
    policy.ends(config.response)
    prompts, query_prompts = prompt_sources(config, policy)
    return RunTexts(
        prompts=prompts,
        query_prompts=query_prompts,
        normalisation=normalisation_sequences(config, policy),
        anchors=anchor_pairs(config, policy),
        pretraining=(
            None if config.pretraining is None else read_pretraining(config.pretraining, policy)
        ),
    )


def check_texts(config: RunConfig, policy: PolicyReading) -> None:
    """Read what a run reads, and keep nothing; pairs that are generated have no faults to find.

    Raises:
        UserError: As `read_texts`.
    """
    if not config.guards.anchor_accuracy.path:
        off = config.guards.anchor_accuracy.model_copy(update={"is_on": False})
        guards = config.guards.model_copy(update={"anchor_accuracy": off})
        config = config.model_copy(update={"guards": guards})
    read_texts(config, policy)


def prompt_sources(config: RunConfig, policy: PolicyReading) -> tuple[PromptSource, PromptSource]:
    """Return the prompts to train on and those of queries, as the policy's tokenizer reads them.

    Raises:
        UserError: A file or dataset is missing or not what it says, a prompt is too long, or the
            response leaves no room for one.
    """
    context, whose = _text_context(config, policy.model)
    if whose:
        _log.warning(f"a prompt and its response have {context} tokens at most{whose}")
    room = context - config.response.max_tokens
    if room < 1:
        raise ConfigError(
            f"response.max_tokens {config.response.max_tokens} leaves no room for a prompt in a "
            f"context of {context} tokens{whose}: lower it, or take a model or "
            "rollouts.max_model_len of longer context"
        )
    train = build_prompt_source(
        config.prompts,
        policy.library,
        room_tokens=room,
        response_tokens=config.response.max_tokens,
        model=policy.model,
    )
    # Query prompts come from a stream of their own, so that how often people are asked does not
    # change which prompts are trained on.
    return train, train.reseeded(derived_seed(config.prompts.seed, "query prompts"))


def probe_of(prompts: Sequence[Prompt], config: RunConfig, policy: Path) -> tuple[int, ...]:
    """Return the tokens that prove every load of weights: prompts, one after the other.

    So many that rounding can be told from other weights, where the context holds them.

    Args:
        prompts: Some of the run's.
        config: Of the run.
        policy: ρ's folder.
    """
    context = _run_context(config, inspect_model(policy))
    token_ids = [token_id for prompt in prompts for token_id in prompt.token_ids]
    return tuple(token_ids[: min(PROBE_TOKENS, context - 1)])


def normalisation_sequences(
    config: RunConfig, policy: PolicyReading | Path
) -> list[tuple[int, ...]] | None:
    """Return the texts that the reward shall score 0 on average; None: samples of ρ normalise.

    Args:
        config: Of the run.
        policy: ρ, or its folder, which is not looked into where there is no such text.

    Raises:
        UserError: The file is missing or not what it says.
    """
    path = config.reward_model.normalisation_path
    if not path:
        return None
    reading = PolicyReading.of_folder(policy) if isinstance(policy, Path) else policy
    context = _run_context(config, reading.model)
    return read_normalisation_texts(Path(path), _responses(config, reading, context))


def anchor_pairs(config: RunConfig, policy: PolicyReading) -> tuple[KnownPair, ...]:
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
    if not wanted.path:
        return review_anchors(
            policy.tokenizer,
            policy.ends(config.response),
            gold_of(config.gold or "reviews"),
            prompt_tokens=config.prompts.prompt_tokens,
            max_tokens=config.response.max_tokens,
            count=wanted.num_pairs,
            seed=config.prompts.seed,
        )
    context, _ = _text_context(config, policy.model)
    return read_anchor_pairs(Path(wanted.path), _responses(config, policy, context))


def _responses(config: RunConfig, policy: PolicyReading, context: int) -> ResponseReader:
    """Return what reads responses that somebody wrote."""
    return ResponseReader(policy.tokenizer, policy.ends(config.response), context, policy.model)


def _text_context(config: RunConfig, model: ModelFolder) -> tuple[int, str]:
    """Return the tokens of the longest text that all models of a run take.

    A reward that is given, and one that the critic starts from, may be of a model of less context
    than the policy.

    Returns:
        The tokens; and of whom the bound is, for an error, "" where it is the policy's.

    Raises:
        UserError: As `_run_context`, or what is given is no reward version.
    """
    bound, whose = _run_context(config, model), ""
    if config.run.reward is not None or config.ppo.critic_path is not None:
        # Imported where there is one: torch takes seconds.
        from cluster.starting.given_reward import contexts_of_given

        for context, what in contexts_of_given(config.run.reward, config.ppo.critic_path):
            if context < bound:
                bound, whose = context, f", that of {what}"
    return bound, whose


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
    if context and chosen and chosen > context:
        why = " (in longer texts it scales positions otherwise)" if model.has_two_scales else ""
        raise ConfigError(
            f"rollouts.max_model_len {chosen} is above the context of {model.path}, {context} "
            f"tokens{why}: lower it, or leave it out"
        )
    return chosen or context or 0
