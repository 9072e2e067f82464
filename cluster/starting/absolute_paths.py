"""A config's paths made absolute: a run is gone on with from whichever folder somebody stands in.

Sections that outside tools and labelers' files are named in have `AnyPath`, which does so itself.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from cluster.config import RunConfig
from protocol.files import is_there


def with_absolute_paths(config: RunConfig) -> RunConfig:
    """Return the config in which every path leads to the same place from everywhere.

    What may be a hub's id is taken for a path where something lies at it, as those do who read it.

    Raises:
        InputError: What may be a path is none.
        ResourceError: It may not be looked at.
    """
    content = config.model_dump()
    for keys, made in ((PATHS, _absolute), (PATHS_OR_IDS, _absolute_if_there)):
        for key in keys:
            _change(content, key, made)
    return RunConfig.model_validate(content)


def _change(content: dict[str, Any], key: str, made: Callable[[str, str], str]) -> None:
    """Put what is made of a key's text in its place, if the config has one."""
    *sections, name = key.split(".")
    place: Any = content
    for section in sections:
        place = place[section]
        if place is None:
            return
    if place[name]:
        place[name] = made(place[name], key)


def _absolute(text: str, _key: str) -> str:
    return str(Path(text).absolute())


def _absolute_if_there(text: str, key: str) -> str:
    is_path = is_there(Path(text), key, "name a folder, or an id of the hub")
    return str(Path(text).absolute()) if is_path else text


PATHS = (
    *("prompts.path", "pretraining.path", "reward_model.normalisation_path", "ppo.critic_path"),
    *("guards.anchor_accuracy.path", "run.reward", "cluster.tls_certificate", "cluster.tls_key"),
)
"""Keys of texts that are a path, or "" or None for none; `run.reward` may end in a version."""
PATHS_OR_IDS = ("policy.path", "prompts.dataset", "pretraining.dataset")
"""Keys of texts that are a path or an id of the hub."""
