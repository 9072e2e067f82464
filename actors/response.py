"""From a config to the tokens that end its responses."""

from __future__ import annotations

from collections.abc import Callable

from actors.config import ResponseConfig
from protocol.ending import EndRule
from protocol.errors import ConfigError


def end_rule(
    response: ResponseConfig,
    *,
    model_end_ids: frozenset[int],
    ids_reading: Callable[[str], frozenset[int]],
) -> EndRule:
    """Return what ends the responses of a run.

    Args:
        response: What the config says of responses.
        model_end_ids: The end tokens that the model's own files name.
        ids_reading: The tokens that read a text; see `PolicyTokenizer.ids_reading`.

    Raises:
        ConfigError: No token reads a text of the config, or a model has no end token.
    """

    def of_one_token(text: str, key: str, or_else: str = "") -> frozenset[int]:
        if not (found := ids_reading(text)):
            raise ConfigError(
                f"{text!r} is not one token of the policy's tokenizer: "
                f"choose another {key}{or_else}"
            )
        return found

    if response.mode == "fixed":
        cut_ids: frozenset[int] = frozenset()
        if text := response.cut_token:
            cut_ids = of_one_token(text, "response.cut_token", ', or "" to cut nothing')
        return EndRule(mode="fixed", marker_ids=cut_ids, cut_after=response.cut_after)
    named = [of_one_token(text, "response.end_tokens") for text in response.end_tokens]
    end_ids = frozenset().union(*named) if named else model_end_ids
    if not end_ids:
        raise ConfigError(
            'response.mode = "end_token", but neither the tokenizer nor the config nor the '
            "generation config of the model names an end token: name one in response.end_tokens"
        )
    return EndRule(mode="end_token", marker_ids=end_ids)
