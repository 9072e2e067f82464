"""Which runs are of one config, so that they are drawn as one line, with its spread over seeds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from protocol.json_digest import json_digest

NOT_OF_THE_EXPERIMENT = ("cluster", "metrics", "recording")
"""Parts of a config that say where a run is carried out and what is told of it."""


def group_of(run_config: Mapping[str, Any]) -> str:
    """Return the name that runs share whose configs differ in nothing but seeds, e.g. "9f2c61d0".

    Where a run is carried out and its name do not count either.
    """
    kept = {name: part for name, part in run_config.items() if name not in NOT_OF_THE_EXPERIMENT}
    if "run" in kept:
        kept["run"] = {name: value for name, value in kept["run"].items() if name != "name"}
    return json_digest(_without_seeds(kept))[:8]


def _without_seeds(part: Any) -> Any:
    if isinstance(part, Mapping):
        return {name: _without_seeds(each) for name, each in part.items() if name != "seed"}
    if isinstance(part, list | tuple):
        return [_without_seeds(each) for each in part]
    return part
