"""How long the longest prompt and the longest sequence of a run are, as far as its config says."""

from __future__ import annotations

from actors.config import ResponseConfig, RolloutConfig
from actors.prompts import articles, dialogues
from actors.prompts.config import PromptsConfig
from learners.config import DeepSpeedConfig
from learners.text_config import BaseModelConfig

LONGEST_GENERATED = max(articles.MAX_PROMPT_TOKENS, dialogues.MAX_PROMPT_TOKENS)


def longest_prompt(prompts: PromptsConfig, response: ResponseConfig, model_tokens: int) -> int:
    """Return the tokens of the longest prompt.

    Args:
        prompts: Where they come from.
        response: What there must be room for after them.
        model_tokens: Of the longest sequence that the model takes.
    """
    room = max(1, model_tokens - response.max_tokens)
    if prompts.source == "reviews":
        return min(room, prompts.prompt_tokens)
    if prompts.source == "articles":
        return min(room, articles.MAX_PROMPT_TOKENS)
    if prompts.source == "dialogues":
        return min(room, dialogues.MAX_PROMPT_TOKENS)
    return min(room, prompts.max_tokens or room)


def longest_sequence(
    prompts: PromptsConfig,
    response: ResponseConfig,
    rollouts: RolloutConfig,
    recipe: BaseModelConfig | None,
) -> int | None:
    """Return the tokens of the longest prompt and response; None where the model alone says it.

    Args:
        prompts: Where prompts come from.
        response: What follows them.
        rollouts: What may bound both.
        recipe: Of the model, where one is made.
    """
    model_tokens = rollouts.max_model_len or (None if recipe is None else recipe.context_tokens)
    is_bounded = (
        prompts.source in ("reviews", "articles", "dialogues") or prompts.max_tokens is not None
    )
    if model_tokens is None:
        if not is_bounded:
            return None
        model_tokens = response.max_tokens + max(LONGEST_GENERATED, prompts.max_tokens or 0)
    return longest_prompt(prompts, response, model_tokens) + response.max_tokens


def check_pass_tokens(section: str, config: DeepSpeedConfig, tokens: int, what: str) -> None:
    """Raise ValueError where a pass of an engine is to hold fewer tokens than one must.

    Args:
        section: The config's place.
        config: Of the engine.
        tokens: That one pass holds at least.
        what: Has so many.
    """
    most = config.micro_batch_tokens
    if most is not None and most < tokens:
        raise ValueError(
            f"{section}.micro_batch_tokens {most} is less than the {tokens} tokens of {what}, "
            f"which go through one pass: make it {tokens} or more, or leave it out"
        )
