"""Causal language models on disk: reading them as they are, writing them whole."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from protocol.errors import InputError, MissingError
from reward_service.reward_model import without_dropout

WEIGHTS_FILE = "model.safetensors"
GENERATION_FILE = "generation_config.json"


def load_language_model(path: str) -> Any:
    """Return a causal language model in float32 on CPU, without dropout.

    Args:
        path: A Hugging Face folder or a hub id.

    Raises:
        MissingError: There is no such folder or hub model.
        InputError: It is no causal language model with safetensors weights.
    """
    try:
        config = AutoConfig.from_pretrained(path)
    except OSError as error:
        raise MissingError(
            f"no language model at {path}: give a Hugging Face folder or a hub id"
        ) from error
    except ValueError as error:
        raise InputError(f"{path} is no language model: {_first_line(error)}") from error
    without_dropout(config)
    try:
        return AutoModelForCausalLM.from_pretrained(
            path, config=config, dtype=torch.float32, use_safetensors=True
        )
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path} is no causal language model with safetensors weights: {_first_line(error)}"
        ) from error


def save_language_model(
    folder: Path,
    config: Any,
    tensors: Mapping[str, Tensor],
    tokenizer: Any,
    *,
    started_from: Path | None = None,
) -> None:
    """Write a Hugging Face folder, replacing what is there in one rename.

    The head is written under its own name even where it is tied to the embeddings: engines that
    keep a copy of it would otherwise go on sampling with their old one.

    Args:
        folder: Where to; its parents are made.
        config: The model's Hugging Face config.
        tensors: All weights by state-dict name.
        tokenizer: Saved beside them.
        started_from: The folder of the model that training started from, whose generation config
            goes along: it may name end tokens that nothing else does.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=folder.parent))
    try:
        config.save_pretrained(draft)
        tokenizer.save_pretrained(draft)
        unshared = {name: tensor.clone() for name, tensor in tensors.items()}
        (draft / WEIGHTS_FILE).write_bytes(save(unshared, metadata={"format": "pt"}))
        if started_from is not None and (started_from / GENERATION_FILE).is_file():
            shutil.copyfile(started_from / GENERATION_FILE, draft / GENERATION_FILE)
        draft.chmod(0o755)
        if folder.exists():
            shutil.rmtree(folder)
        draft.rename(folder)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise


def load_tokenizer(path: str) -> Any:
    """Return the tokenizer of a policy.

    Raises:
        MissingError: There is none.
    """
    try:
        return AutoTokenizer.from_pretrained(path)
    except (OSError, ValueError) as error:
        raise MissingError(f"no tokenizer at {path}: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
