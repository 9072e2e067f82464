"""Which commits of the hub a run takes: asked once as it begins, and kept, so that it resumes so.

A branch such as "main" moves; what a run goes on from must not.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cluster.config import RunConfig
from cluster.starting.policy_source import hub_commit
from protocol.files import is_there
from protocol.logs import logger_of

_log = logger_of("revisions")

_MEND = "name a dataset's id, or a folder"


def at_commits(config: RunConfig, known: Mapping[str, str]) -> tuple[RunConfig, dict[str, str]]:
    """Return a config in which each hub id is at one commit, and the commits by section.

    The commit of a dataset that is only in the cache of `datasets`, while the hub is out of reach,
    is not known: its revision stays as it was given, and is asked for again on a resume.

    Args:
        config: The resolved config.
        known: The commits that the run began with; what it lacks is asked for.

    Raises:
        MissingError: A policy is neither here nor on the hub, at its revision.
        InputError: A path is none.
        ResourceError: It may not be looked at.
    """
    commits = dict(known)
    if config.policy is not None and "policy" not in commits:
        commit = hub_commit(config.policy.path, config.policy.revision)
        commits |= {} if commit is None else {"policy": commit}
    for name in ("prompts", "pretraining"):
        section = getattr(config, name)
        if name not in commits and section is not None and section.source == "hub":
            commit = _dataset_commit(section, name)
            commits |= {} if commit is None else {name: commit}
    changes = {
        name: section.model_copy(update={"revision": commits[name]})
        for name in commits
        if (section := getattr(config, name)) is not None
    }
    return config.model_copy(update=changes), commits


def _dataset_commit(section: Any, name: str) -> str | None:
    """Return the commit of a dataset of the hub; None of a folder, and where it is not known."""
    if is_there(Path(section.dataset), f"{name}.dataset", _MEND):
        return None
    import httpx
    from huggingface_hub import HfApi

    try:
        return HfApi().dataset_info(section.dataset, revision=section.revision).sha
    except (
        OSError,
        ValueError,
        httpx.HTTPError,
    ) as error:  # whoever reads it says what is wrong, or finds it in the cache
        _log.warning(
            "the commit of a dataset is not known: a resumed run takes what it finds then",
            dataset=section.dataset,
            cause=type(error).__name__,
        )
        return None
