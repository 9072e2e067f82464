"""The policy to start from: the config's folder or hub id, or a base model made here and kept."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from pathlib import Path

from actors.prompts.corpora import corpus
from cluster.config import RunConfig
from cluster.run_folder import write_json
from cluster.starting.makers_lock import only_maker_async
from cluster.starting.nodes import NodeWait
from cluster.starting.policy_source import policy_folder
from cluster.starting.ranks import RankGroup, on_bundle, place
from learners.shell import SupervisedRank
from learners.text_config import BaseModelConfig
from protocol.json_digest import json_digest, leave_out_as_before
from protocol.ports import OpenStore
from protocol.remote import spawn

MADE_FILE = "made.json"
BASE_MODEL_LEARNER = "the base model's learner"
ADDED: dict[str, dict[str, object]] = {
    "": {"texts": "reviews"},
    "training": {"whole_texts": False, "loss_after": ""},
    "engine": {"matmul_dtype": "auto", "micro_batch_tokens": None},
}
"""By section of a recipe, keys that older recipes lack, and what was so without them."""


async def starting_policy_folder(config: RunConfig, cache: Path) -> Path:
    """Return where the starting policy lies, or will once it is made.

    Args:
        config: The resolved config.
        cache: Where base models are kept.

    Raises:
        MissingError: `policy.path` is no folder and no hub id.
        InputError: It holds no model.
    """
    if config.base_model is not None:
        return base_model_folder(config.base_model, cache)
    assert config.policy is not None, "the config names one of the two"
    return await asyncio.to_thread(policy_folder, config.policy.path, config.policy.revision)


async def made_starting_policy(
    config: RunConfig, folder: Path, open_store: OpenStore, nodes: NodeWait
) -> float | None:
    """Return once the starting policy is there, with the seconds its making took, now or before.

    With a `[base_model]` section the policy is trained from scratch on generated texts by the
    project's own supervised learner, unless there is one of the same recipe, or another run makes
    one meanwhile. One that was given took none.

    Args:
        config: The resolved config.
        folder: What `starting_policy_folder` returned.
        open_store: How whoever makes one reaches that folder.
        nodes: Whoever makes one waits for a node by it.
    """
    recipe = config.base_model
    if recipe is None:
        return None
    if (made := _made(folder)) is not None:
        return made["seconds"]
    async with only_maker_async(folder):
        if (made := _made(folder)) is not None:
            return made["seconds"]
        started = time.monotonic()
        loss = await _train(config, recipe, folder, open_store, nodes)
        seconds = time.monotonic() - started
        note_made(folder, seconds=seconds, loss=loss)
        return seconds


def made_base_model(recipe: BaseModelConfig, cache: Path) -> Path | None:
    """Return the folder of the base model that was made by a recipe, None if the cache has none."""
    folder = base_model_folder(recipe, cache)
    return None if _made(folder) is None else folder


def note_made(folder: Path, *, seconds: float, loss: float) -> None:
    """Note that a base model is whole, how long its making took, and its loss in nats a token."""
    write_json(folder / MADE_FILE, {"seconds": seconds, "loss": loss})


def base_model_folder(recipe: BaseModelConfig, cache: Path) -> Path:
    """Return where the base model of a recipe lies, made or not."""
    return (cache / f"base-model-{_digest(recipe)}").absolute()


def _made(folder: Path) -> dict[str, float] | None:
    """Return what is noted of a base model that is whole: the note is written when all else is."""
    note = folder / MADE_FILE
    try:
        return {"seconds": float(json.loads(note.read_bytes())["seconds"])}
    except (FileNotFoundError, ValueError, LookupError, TypeError):
        return None  # garbled is not whole: it is made anew


async def _train(
    config: RunConfig,
    recipe: BaseModelConfig,
    folder: Path,
    open_store: OpenStore,
    nodes: NodeWait,
) -> float:
    await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
    texts = await asyncio.to_thread(corpus, recipe.texts, recipe.num_texts, recipe.seed)
    resources = {"CPU": config.cluster.cpus_per_part}
    bundles = [resources] * recipe.engine.num_ranks
    group = await place(bundles, "PACK", BASE_MODEL_LEARNER, nodes)
    ranks = RankGroup(
        [
            spawn(SupervisedRank, BASE_MODEL_LEARNER, on_bundle(group, rank, resources))(
                rank=rank, config=recipe, open_store=open_store
            )
            for rank in range(recipe.engine.num_ranks)
        ],
        config.cluster.restarts.fit_timeout_s,
    )
    host, port = await ranks.meeting_point()
    loss = await ranks.ask(SupervisedRank.start, host, port, texts, folder)
    await ranks.ask(SupervisedRank.stop)
    ranks.end(group)
    nodes.forget(BASE_MODEL_LEARNER)
    return loss


def _digest(recipe: BaseModelConfig) -> str:
    """Name a recipe: another recipe, another folder.

    What recipes came to have later is left out where it says what was so before, so that runs which
    began then find theirs.
    """
    said = recipe.model_dump(mode="json")
    for section, added in ADDED.items():
        leave_out_as_before(said[section] if section else said, added)
    return json_digest(said)[:12]
