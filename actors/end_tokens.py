"""The tokens that end what a model writes, as its own files name them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from protocol.errors import InputError
from protocol.json_object import read_json_object

_FILES = ("generation_config.json", "config.json")


def model_end_ids(folder: Path, tokenizer_end_id: int | None, vocab_size: int) -> frozenset[int]:
    """Return all end tokens of a model.

    A chat model often ends a turn with another token than a text, and names both in its generation
    config alone; the tokenizer knows one of them.

    Args:
        folder: A Hugging Face folder.
        tokenizer_end_id: The tokenizer's own, if it has one.
        vocab_size: V; a config may name ids beyond it, which cannot be sampled.

    Raises:
        InputError: A file is not JSON, or names as end token what is no token id.
    """
    found = set() if tokenizer_end_id is None else {tokenizer_end_id}
    for name in _FILES:
        path = folder / name
        config = read_json_object(path) if path.is_file() else {}
        for part in (config, config.get("text_config")):
            if isinstance(part, Mapping):
                found.update(_ids(part.get("eos_token_id"), path))
    return frozenset(token_id for token_id in found if 0 <= token_id < vocab_size)


def _ids(value: object, path: Path) -> list[int]:
    if value is None:
        return []
    ids: list[int] = []
    for token_id in value if isinstance(value, list) else [value]:
        if not isinstance(token_id, int) or isinstance(token_id, bool):
            raise InputError(
                f"{path}: eos_token_id is {value!r}: want a token id or a list of them"
            )
        ids.append(token_id)
    return ids
