"""A config's paths made absolute: a run is gone on with from whichever folder somebody stands in.

Sections that outside tools and labelers' files are named in have `AnyPath`, which does so itself.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from cluster.config import RunConfig
from protocol.errors import InputError
from protocol.files import is_there

MEND = "name a folder, or an id of the hub"


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


def refuse_shadowed_ids(saved: RunConfig) -> None:
    """Refuse to go on where something lies at an id of the hub that a run was given.

    It would be taken for what the run was given: `with_absolute_paths` has left ids alone as the
    run began, and nothing else that is relative.

    Args:
        saved: The run's config as its folder has it.

    Raises:
        InputError: Something does; names the key, and where it lies.
        ResourceError: It may not be looked at.
    """
    content = saved.model_dump()
    for key in PATHS_OR_IDS:
        section, name = key.split(".")
        text = (content[section] or {}).get(name) or ""
        if text and not Path(text).is_absolute() and is_there(Path(text), key, MEND):
            raise InputError(
                f"{key} of this run is {text!r}, an id of the hub, and {Path(text).absolute()} "
                "would be taken for it: resume the run from another folder, or rename that"
            )


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
    is_path = is_there(Path(text), key, MEND)
    return str(Path(text).absolute()) if is_path else text


PATHS = (
    *("prompts.path", "pretraining.path", "reward_model.normalisation_path", "ppo.critic_path"),
    *("guards.anchor_accuracy.path", "run.reward", "cluster.tls_certificate", "cluster.tls_key"),
)
"""Keys of texts that are a path, or "" or None for none; `run.reward` may end in a version."""
PATHS_OR_IDS = ("policy.path", "prompts.dataset", "pretraining.dataset")
"""Keys of texts that are a path or an id of the hub."""
