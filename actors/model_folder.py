"""Checks on a Hugging Face model folder that cost no heavy import."""

from __future__ import annotations

import json
from pathlib import Path

from protocol.errors import InputError, MissingError


def check_model_folder(path: Path) -> None:
    """Check that a folder holds a model: its config, its weights and its tokenizer.

    Raises:
        MissingError: There is no such folder.
        InputError: It is empty, or lacks or garbles one of the three.
    """
    if not path.exists():
        raise MissingError(f"model folder {path} does not exist: check policy.path")
    if not path.is_dir():
        raise InputError(f"{path} is a file, not a model folder: give the folder that holds it")
    if not any(path.iterdir()):
        raise InputError(f"model folder {path} is empty: save a model and its tokenizer there")
    _check_config(path / "config.json")
    weights = sorted(path.glob("*.safetensors"))
    if not weights:
        raise InputError(f"{path} holds no .safetensors weights: save the model in that format")
    for file in weights:
        _check_weights(file)
    if not (path / "tokenizer_config.json").exists():
        raise InputError(f"{path} holds no tokenizer: save it beside the model's weights")


def _check_config(path: Path) -> None:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path.parent} holds no config.json: it is not a model folder") from None
    except ValueError as error:
        raise InputError(f"{path} is not JSON ({error}): save the model again") from None
    if not isinstance(config, dict) or "model_type" not in config:
        raise InputError(f"{path} names no model_type: it is not a language model's config")
    if not config.get("architectures"):
        raise InputError(
            f'{path} names no architectures, e.g. ["GPT2LMHeadModel"]: vLLM needs it to generate; '
            "save the model itself, not its config alone"
        )


def _check_weights(path: Path) -> None:
    """Check the format's first 8 bytes, the length of a JSON header that must fit in the file."""
    with path.open("rb") as file:
        header_bytes = int.from_bytes(file.read(8), "little")
    if not 0 < header_bytes <= path.stat().st_size - 8:
        raise InputError(f"{path} is not a safetensors file: save the model again")
