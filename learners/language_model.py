"""Causal language models on disk: writing them whole."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import Tensor

from protocol.files import writing

WEIGHTS_FILE = "model.safetensors"
GENERATION_FILE = "generation_config.json"


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

    Raises:
        DiskFull: There is no room for it; what was there stays.
        ResourceError: The disk refuses otherwise.
    """
    with writing(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=folder.parent))
    try:
        with writing(folder):
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
