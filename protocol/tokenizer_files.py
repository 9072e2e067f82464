"""The files of a tokenizer, and whether it belongs to the model beside it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from protocol.errors import InputError
from protocol.json_object import read_json_object
from protocol.model_errors import as_model_error

CONFIG_FILE = "tokenizer_config.json"
_TRIAL_TEXT = "a ☃ 7"
"""What a tokenizer is tried on once it is loaded: some of it in few vocabularies."""
_VOCABULARY_FILES = ("tokenizer.json", "tokenizer.model", "spiece.model", "vocab.json", "vocab.txt")
_OPTIONAL_JSON = (
    *("generation_config.json", "special_tokens_map.json", "added_tokens.json"),
    *("chat_template.json", "vocab.json", "tokenizer.json"),
)
_SPECIAL_TOKENS = ("bos_token", "eos_token")


def read_tokenizer_files(path: Path, num_embeddings: int) -> dict[int, str]:
    """Check the tokenizer's files; return the tokens it adds beyond the embeddings, by id.

    Raises:
        InputError: One is missing or not what its name says, or they are of another model.
        OSError: One cannot be read.
    """
    if not (path / CONFIG_FILE).exists():
        raise InputError(f"{path} holds no tokenizer: save it beside the model's weights")
    config = read_json_object(path / CONFIG_FILE)
    for name in _OPTIONAL_JSON:
        if (path / name).exists():
            read_json_object(path / name)
    files = [path / name for name in _VOCABULARY_FILES if (path / name).exists()]
    if not files:
        raise InputError(
            f"{path} holds no vocabulary of the tokenizer (none of {', '.join(_VOCABULARY_FILES)}):"
            " save the tokenizer again"
        )
    for file in files:
        if not file.stat().st_size:
            raise InputError(f"{file} is empty: save the tokenizer again")
    if files[0].name != "tokenizer.json":
        return {}
    return _beyond(files[0], config, num_embeddings)


def loaded_tokenizer(library: Any, folder: Path) -> Any:
    """Return the tokenizer of a folder, tried once: some faults show only in use.

    Args:
        library: The class that loads it, transformers' AutoTokenizer: it is not imported here.
        folder: A Hugging Face folder.

    Raises:
        InputError: There is none, or one that cannot be loaded.
    """
    with as_model_error(folder, "its tokenizer cannot be loaded"):
        # Said outright: else the library asks at the terminal whether to run a folder's own code.
        tokenizer = library.from_pretrained(str(folder), trust_remote_code=False)
        tokenizer.decode(tokenizer(_TRIAL_TEXT)["input_ids"])
        return tokenizer


def _beyond(file: Path, config: Mapping[str, Any], num_embeddings: int) -> dict[int, str]:
    """Hold a tokenizer's ids against the embeddings.

    Models are published whose tokenizers add tokens that no text of theirs holds, so those are only
    noted; a vocabulary, or an end, beyond the embeddings belongs to another model.
    """
    content = read_json_object(file)
    model = content.get("model")
    if not isinstance(model, dict):
        raise InputError(f"{file} describes no tokenizer: save it again")
    vocabulary = _ids_of_vocabulary(model.get("vocab"))
    listed = content.get("added_tokens")
    added = {
        entry["id"]: str(entry.get("content"))
        for entry in (listed if isinstance(listed, list) else [])
        if isinstance(entry, dict) and type(entry.get("id")) is int
    }
    ordinary = max((i for i in vocabulary.values() if i not in added), default=-1)
    if ordinary >= num_embeddings:
        raise InputError(
            f"{file} has token ids up to {ordinary} and the model {num_embeddings} embeddings: "
            "they are not of one model; save the right tokenizer, or resize the embeddings"
        )
    beyond = {i: text for i, text in added.items() if i >= num_embeddings}
    for name in _SPECIAL_TOKENS:
        token = config.get(name)
        text = token.get("content") if isinstance(token, dict) else token
        if text in beyond.values():
            raise InputError(
                f"{file}: the tokenizer's {name} {text!r} is beyond the {num_embeddings} embeddings"
                " of the model: resize the model's embeddings to its tokenizer"
            )
    return beyond


def _ids_of_vocabulary(vocabulary: object) -> dict[str, int]:
    if isinstance(vocabulary, dict):
        return {text: i for text, i in vocabulary.items() if type(i) is int}
    if isinstance(vocabulary, list):
        return {str(entry): i for i, entry in enumerate(vocabulary)}
    return {}
