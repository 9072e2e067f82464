"""A base model made without a run, in this process; the runs beside it find it made."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from actors.prompts.corpora import corpus
from cluster.starting.base_model import base_model_folder, made_base_model, note_made
from cluster.starting.makers_lock import only_maker
from learners.text_config import BaseModelConfig


def base_model(recipe: BaseModelConfig, runs: Path) -> Path:
    """Return the base model of a recipe among `runs`, making it unless it is there. Blocks.

    One rank, whatever the recipe says of ranks; a run makes the same of the recipe with one.
    """
    if (made := made_base_model(recipe, runs)) is not None:
        return made
    folder = base_model_folder(recipe, runs)
    with only_maker(folder):
        if made_base_model(recipe, runs) is None:
            _make(recipe, folder)
    return folder


def _make(recipe: BaseModelConfig, folder: Path) -> None:
    from learners.base_model import train_base_model  # with torch and DeepSpeed this takes seconds
    from learners.engine import free_port, join_ranks, leave_ranks

    shutil.rmtree(folder, ignore_errors=True)
    started = time.monotonic()
    join_ranks(0, 1, "127.0.0.1", free_port("127.0.0.1"))
    try:
        loss = train_base_model(corpus(recipe.texts, recipe.num_texts, recipe.seed), recipe, folder)
    finally:
        leave_ranks()
    note_made(folder, seconds=time.monotonic() - started, loss=loss)
