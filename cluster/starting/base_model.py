"""The policy to start from: the config's folder or hub id, or a base model made here and kept."""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
import time
from pathlib import Path

from actors.prompts.grammar import review_corpus
from cluster.config import RunConfig
from cluster.run_folder import write_json
from cluster.starting.policy_source import policy_folder
from cluster.starting.ranks import RankGroup, on_bundle, place
from learners.config import BaseModelConfig
from learners.shell import SupervisedRank
from protocol.remote import spawn

MADE_FILE = "made.json"


async def starting_policy(config: RunConfig, cache: Path) -> tuple[Path, float | None]:
    """Return the starting policy's folder, and the seconds its making took, now or before.

    With a `[base_model]` section the policy is trained from scratch on generated reviews by the
    project's own supervised learner, unless the cache holds one of the same recipe.

    Raises:
        MissingError: `policy.path` is no folder and no hub id.
        InputError: It holds no model.
    """
    recipe = config.base_model
    if recipe is None:
        assert config.policy is not None, "the config names one of the two"
        return await asyncio.to_thread(policy_folder, config.policy.path), None
    folder = _folder(recipe, cache)
    if (made := _made(folder)) is not None:
        return folder, float(made["seconds"])
    started = time.monotonic()
    loss = await _train(config, recipe, folder)
    seconds = time.monotonic() - started
    write_json(folder / MADE_FILE, {"seconds": seconds, "loss": loss})
    return folder, seconds


def made_base_model(recipe: BaseModelConfig, cache: Path) -> Path | None:
    """Return the folder of the base model that was made by a recipe, None if the cache has none."""
    folder = _folder(recipe, cache)
    return None if _made(folder) is None else folder


def _folder(recipe: BaseModelConfig, cache: Path) -> Path:
    return (cache / f"base-model-{_digest(recipe)}").absolute()


def _made(folder: Path) -> dict[str, float] | None:
    """Return what is noted of a base model that is whole: the note is written when all else is."""
    note = folder / MADE_FILE
    try:
        return {"seconds": float(json.loads(note.read_bytes())["seconds"])}
    except (FileNotFoundError, ValueError, LookupError, TypeError):
        return None  # garbled is not whole: it is made anew


async def _train(config: RunConfig, recipe: BaseModelConfig, folder: Path) -> float:
    await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
    texts = await asyncio.to_thread(review_corpus, recipe.num_texts, recipe.seed)
    resources = {"CPU": config.cluster.cpus_per_part}
    group = await place([resources] * recipe.engine.num_ranks, "PACK", "the base model's learner")
    ranks = RankGroup(
        [
            spawn(SupervisedRank, "the base model's learner", on_bundle(group, rank, resources))(
                rank=rank, config=recipe
            )
            for rank in range(recipe.engine.num_ranks)
        ],
        config.cluster.restarts.fit_timeout_s,
    )
    host, port = await ranks.meeting_point()
    loss = await ranks.ask(SupervisedRank.start, host, port, texts, folder)
    await ranks.ask(SupervisedRank.stop)
    ranks.end(group)
    return loss


def _digest(recipe: BaseModelConfig) -> str:
    """Name a recipe: another recipe, another folder."""
    content = json.dumps(recipe.model_dump(mode="json"), sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:12]
