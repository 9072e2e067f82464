"""Causal language models on disk: writing them whole."""

from __future__ import annotations

import copy
import shutil
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from protocol.files import writing
from protocol.folders import FoldersHere, discarded_on_failure, files_in
from protocol.ports import FolderStore
from reward_service.lazy_tensors import outlines_of
from reward_service.tensor_files import write_tensors

WEIGHTS_FILE = "model.safetensors"
GENERATION_FILE = "generation_config.json"


def save_language_model(
    folder: Path,
    config: Any,
    tensors: Mapping[str, Tensor],
    tokenizer: Any,
    *,
    started_from: Path | None = None,
    store: FolderStore | None = None,
) -> None:
    """Write a Hugging Face folder whole, replacing what is there.

    The head is written under its own name even where it is tied to the embeddings: engines that
    keep a copy of it would otherwise go on sampling with their old one. The config says the type of
    the tensors, in which whoever loads them without naming one has them.

    Args:
        folder: Where to; its parents are made.
        config: The model's Hugging Face config.
        tensors: All weights by state-dict name.
        tokenizer: Saved beside them.
        started_from: The folder of the model that training started from, whose generation config
            goes along: it may name end tokens that nothing else does.
        store: How this process reaches the folder; by default it is on the run's own node.

    Raises:
        DiskFull: There is no room for it; what was there stays.
        ResourceError: The disk or the store refuses otherwise.
    """
    store = FoldersHere() if store is None else store
    with writing(folder), discarded_on_failure(store, folder):
        store.discard(folder)  # what a killed process may have left
        draft = store.draft(folder)
        with writing(draft):  # which may be elsewhere than the folder
            _of_type(config, tensors).save_pretrained(draft)
            tokenizer.save_pretrained(draft)
            with (draft / WEIGHTS_FILE).open("wb") as weights:
                write_tensors(weights, tensors)
            if started_from is not None and (started_from / GENERATION_FILE).is_file():
                shutil.copyfile(started_from / GENERATION_FILE, draft / GENERATION_FILE)
        files = files_in(draft)
        for file in files:
            store.put(folder, file)
        store.complete(folder, files)


def _of_type(config: Any, tensors: Mapping[str, Tensor]) -> Any:
    """Return a config that says of which type the weights are: most of their numbers."""
    counts: Counter[torch.dtype] = Counter()
    for each in outlines_of(tensors).values():
        if each.is_floating_point():
            counts[each.dtype] += each.numel()
    saved = copy.deepcopy(config)
    saved.dtype = max(counts, key=lambda each: counts[each], default=config.dtype)
    return saved
