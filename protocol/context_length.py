"""How long a text a model takes, read from its config: one bound for all that reads with it.

Engine, learner and reward model must agree on it. Where positions are scaled ("rope_parameters", or
"rope_scaling" in older files), `max_position_embeddings` alone does not tell.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_CONTEXT_KEYS = (
    *("max_position_embeddings", "n_positions", "max_sequence_length", "max_seq_len"),
    *("max_seq_length", "seq_length", "seq_len", "n_ctx", "model_max_length"),
)
"""Keys by which architectures name their context; the first that is there counts."""
_SCALING_KEYS = ("rope_parameters", "rope_scaling")
_ORIGINAL = "original_max_position_embeddings"
_TWO_SCALES = ("longrope", "su")
"""Names of the scaling that has other positions in long texts than in short ones."""
_SCALED_BEFORE = ("gemma3", "gemma3_text")
"""Architectures whose `max_position_embeddings` counts what their linear scaling adds."""


def context_of(config: Mapping[str, Any]) -> int | None:
    """Return the longest sequence a model's config allows, in tokens; None if it names no bound.

    By linear scaling it is so many times as long as the config says. Where positions are scaled in
    two ways, as in Phi-3's long contexts, it is the short one: beyond it the library scales those
    of all texts of a batch by the longest of them, and an engine those of all texts, so that
    log-probabilities and scores would hang on what a text shares its pass with.

    Args:
        config: As in config.json; of a model of text and more, its "text_config" counts.
    """
    for part in (config, config.get("text_config")):
        if isinstance(part, Mapping) and (bound := _named(part)) is not None:
            return _scaled(bound, part)
    return None


def has_two_scales(config: Mapping[str, Any]) -> bool:
    """Whether the config names a longer context than `context_of` gives, of other positions."""
    parts = [part for part in (config, config.get("text_config")) if isinstance(part, Mapping)]
    return any(_kind(_scaling(part)) in _TWO_SCALES for part in parts)


def _named(part: Mapping[str, Any]) -> int | None:
    return next(filter(None, (_count(part.get(key)) for key in _CONTEXT_KEYS)), None)


def _scaled(bound: int, part: Mapping[str, Any]) -> int:
    scaling = _scaling(part)
    kind = _kind(scaling)
    if kind in _TWO_SCALES:
        original = _count(scaling.get(_ORIGINAL)) or _count(part.get(_ORIGINAL))
        return min(bound, original or bound)
    factor = scaling.get("factor")
    is_scaled = kind == "linear" and part.get("model_type") not in _SCALED_BEFORE
    if is_scaled and isinstance(factor, int | float) and 1 < factor < 1e6:
        return int(bound * factor)
    return bound


def _scaling(part: Mapping[str, Any]) -> Mapping[str, Any]:
    found = (part.get(key) for key in _SCALING_KEYS)
    return next((each for each in found if isinstance(each, Mapping)), {})


def _kind(scaling: Mapping[str, Any]) -> object:
    return scaling.get("rope_type", scaling.get("type"))


def _count(value: object) -> int | None:
    return value if type(value) is int and value > 0 else None
