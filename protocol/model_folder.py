"""What a Hugging Face model folder holds, found by reading its small files: no heavy import.

Whoever takes a model looks here first: the checks before a run, rollout actors, learners, reward
models, imports. What only the libraries can tell, `reward_service.pretrained` tells.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from protocol.context_length import context_of, has_two_scales
from protocol.errors import InputError, MissingError
from protocol.json_object import read_json_object
from protocol.safetensors_header import StoredTensor, stored_tensors
from protocol.tokenizer_files import read_tokenizer_files

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"

_EMBEDDINGS = (
    *("embed_tokens.weight", "wte.weight", "word_embeddings.weight", "embed_in.weight"),
    "tok_embeddings.weight",
)
"""How the names of embeddings end."""
_HEADS = ("lm_head.weight", "embed_out.weight", "output.weight", "output_layer.weight")
"""How the names of output heads end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFolder:
    """A model as its folder describes it."""

    path: Path
    architecture: str
    """Name of the model's class, e.g. "GPT2LMHeadModel"."""
    context_length: int | None
    """Tokens of prompt and response together; None: the config names no bound."""
    has_two_scales: bool
    """Whether the config names a longer context, in which positions are scaled otherwise."""
    num_embeddings: int
    """Size of the embedding: token ids are below it."""
    ids_beyond: Mapping[int, str]
    """Tokens that the tokenizer knows and the model does not, by id; texts must not hold them."""

    def check_ids(self, token_ids: Sequence[int], where: str) -> None:
        """Refuse ids that the model has no embedding for.

        Args:
            token_ids: Of a text.
            where: What an error names, e.g. "prompts.jsonl, line 3".

        Raises:
            InputError: There is one.
        """
        beyond = max(token_ids, default=0)
        if beyond >= self.num_embeddings:
            text = self.ids_beyond.get(beyond)
            raise InputError(
                f"{where}: token {beyond}{f' ({text!r})' if text else ''} is beyond the "
                f"{self.num_embeddings} embeddings of {self.path}: leave it out of the text, or "
                "resize the model's embeddings to its tokenizer"
            )


def inspect_model(path: Path) -> ModelFolder:
    """Check that a folder holds a whole model, with config, weights and tokenizer, and describe it.

    Raises:
        MissingError: There is no such folder.
        InputError: A file is missing, unreadable, cut short or not what its name says, or two do
            not agree. Names the file.
    """
    try:
        return _inspect(path)
    except OSError as error:
        if isinstance(error, MissingError):
            raise
        raise InputError(f"{error.filename or path} cannot be read: {error.strerror}") from error


def tensor_names(path: Path) -> frozenset[str]:
    """Return the names of all tensors in the weights of a folder that `inspect_model` accepts.

    Raises:
        InputError: The weights cannot be read.
    """
    return frozenset(_read_weights(path))


def weight_files(path: Path) -> tuple[Path, ...]:
    """Return the safetensors files of a folder that `inspect_model` accepts, in order.

    Raises:
        InputError: They cannot be read.
    """
    index = path / INDEX_FILE
    if not index.exists():
        return (path / WEIGHTS_FILE,)
    return tuple(
        path / name for name in sorted(set(read_json_object(index)["weight_map"].values()))
    )


def _inspect(path: Path) -> ModelFolder:
    if not path.exists():
        raise MissingError(f"model folder {path} does not exist: check its path")
    if not path.is_dir():
        raise InputError(f"{path} is a file, not a model folder: give the folder that holds it")
    if not any(path.iterdir()):
        raise InputError(f"model folder {path} is empty: save a model and its tokenizer there")
    config = _read_config(path / CONFIG_FILE)
    tensors = _read_weights(path)
    num_embeddings = _num_embeddings(path, config, tensors)
    _check_head(path, config, tensors)
    return ModelFolder(
        path=path,
        architecture=config["architectures"][0],
        context_length=context_of(config),
        has_two_scales=has_two_scales(config),
        num_embeddings=num_embeddings,
        ids_beyond=read_tokenizer_files(path, num_embeddings),
    )


def _read_config(path: Path) -> dict[str, Any]:
    if not path.exists():
        raise InputError(f"{path.parent} holds no config.json: it is not a model folder")
    config = read_json_object(path)
    if not isinstance(config.get("model_type"), str):
        raise InputError(f"{path} names no model_type: it is not a language model's config")
    architectures = config.get("architectures")
    if not isinstance(architectures, list) or not all(isinstance(a, str) for a in architectures):
        architectures = []
    if not architectures:
        raise InputError(
            f'{path} names no architectures, e.g. ["GPT2LMHeadModel"]: vLLM needs it to generate; '
            "save the model itself, not its config alone"
        )
    if config.get("quantization_config"):
        raise InputError(
            f"{path}: the weights are quantized, which cannot be trained: take the model they were "
            "made from"
        )
    return config


def _read_weights(path: Path) -> dict[str, StoredTensor]:
    """Return the tensors of the one weights file, or of all those of the index."""
    single, index = path / WEIGHTS_FILE, path / INDEX_FILE
    if single.exists() and index.exists():
        raise InputError(
            f"{path} holds both {WEIGHTS_FILE} and {INDEX_FILE}, and nothing says which counts: "
            "remove one"
        )
    if index.exists():
        return _read_shards(index)
    if single.exists():
        return stored_tensors(single)
    if (path / "adapter_config.json").exists():
        raise InputError(f"{path} holds an adapter alone: merge it into its model, and save that")
    raise InputError(
        f"{path} holds no .safetensors weights ({WEIGHTS_FILE} or {INDEX_FILE}): save the model in "
        "that format"
    )


def _read_shards(index: Path) -> dict[str, StoredTensor]:
    places = read_json_object(index).get("weight_map")
    if not isinstance(places, dict) or not all(isinstance(each, str) for each in places.values()):
        raise InputError(f"{index} has no weight_map of tensors to files: fetch the model again")
    found: dict[str, StoredTensor] = {}
    for name in sorted(set(places.values())):
        file = index.parent / name
        if Path(name).name != name or not file.is_file():
            raise InputError(f"{index} names {name}, which is not there: fetch the model again")
        stored = stored_tensors(file)
        lacking = {tensor for tensor, place in places.items() if place == name} - set(stored)
        if lacking:
            raise InputError(
                f"{file} lacks {min(lacking)}, which {index.name} says it holds: fetch the model "
                "again"
            )
        found |= stored
    return found


def _num_embeddings(
    path: Path, config: Mapping[str, Any], tensors: Mapping[str, StoredTensor]
) -> int:
    """Return how many tokens the model knows, by its config and, where it can be told, weights."""
    inner = config.get("text_config")
    said = config.get("vocab_size", inner.get("vocab_size") if isinstance(inner, dict) else None)
    sizes = {
        tensor.shape[0]
        for name, tensor in tensors.items()
        if name.endswith(_EMBEDDINGS) and len(tensor.shape) == 2
    }
    rows = sizes.pop() if len(sizes) == 1 else None
    if said is None and rows is not None:
        return rows
    if type(said) is not int or said < 1:
        raise InputError(f"{path / CONFIG_FILE} names no vocab_size: save the model again")
    if rows is not None and rows != said:
        raise InputError(
            f"{path / CONFIG_FILE} says vocab_size {said} and the weights hold {rows} embeddings: "
            "save config and weights together"
        )
    return said


def _check_head(path: Path, config: Mapping[str, Any], tensors: Mapping[str, StoredTensor]) -> None:
    """Refuse a model that lacks its own output head: each load would draw another."""
    if config.get("tie_word_embeddings") is False and not any(
        name.endswith(_HEADS) for name in tensors
    ):
        raise InputError(
            f"{path} lacks the output head, lm_head.weight, and {CONFIG_FILE} says that it is not "
            "tied to the embeddings: save the whole model, or set tie_word_embeddings if it is"
        )
