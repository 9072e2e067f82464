"""From `policy.path` to a folder on this machine: given, made, or fetched from the hub.

For a plan the model's config is enough: no weights are needed, nor fetched.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from cluster.config import RunConfig
from protocol.errors import InputError, MissingError
from protocol.files import is_file, is_there
from protocol.model_folder import CONFIG_FILE, inspect_model

KEY = "policy.path"
MEND = "name a model's folder, or a hub id"
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_NEEDED = ("*.json", "*.jinja", "*.safetensors", "*.txt", "*.model")
_LEFT_OUT = ("consolidated*.safetensors", "params.json")
"""A model once more, in its maker's own form, which engines would take before the rest."""


def policy_folder(path: str, revision: str | None = None, what: str = KEY) -> Path:
    """Return the model's folder, fetching a hub id into the Hugging Face cache first.

    Args:
        path: A folder, or a hub id.
        revision: A branch, tag or commit of the hub id; None: its main branch.
        what: Names the path in errors: the key or option by which it was given.

    Raises:
        MissingError: No such folder, and no such hub id or revision, or no way to fetch it.
        InputError: The folder holds no model, its path is none, or a revision is asked of it.
        ResourceError: It may not be looked into.
    """
    folder = _found(path, revision, _NEEDED, _LEFT_OUT, what=what)
    _refuse_missing(folder, what)
    inspect_model(folder)
    return folder.resolve()


def hub_commit(path: str, revision: str | None) -> str | None:
    """Return the commit at which the hub, or its cache, has a model; None where it is a folder.

    Errors as `policy_folder`.
    """
    folder = _found(path, revision, (CONFIG_FILE,))
    return None if folder == Path(path) else folder.name


def model_shape(run: RunConfig) -> Any:
    """Return the Hugging Face config of the policy that a run starts from.

    Of a base model that is yet to be made it is the one it will have, with every word that its
    texts may hold.

    Raises:
        MissingError: No such folder, and no such hub id or no way to fetch it.
        InputError: It is no config of a model that transformers knows, or its path is none.
        ResourceError: It may not be looked into.
    """
    # Imported once all that is cheaper was done: torch and transformers take seconds.
    from learners.base_model import language_model_config
    from learners.word_tokenizer import SPECIAL_TOKENS
    from reward_service.pretrained import read_config

    if run.base_model is not None:
        from actors.prompts.corpora import corpus_vocabulary

        words = corpus_vocabulary(run.base_model.texts)
        return language_model_config(len(SPECIAL_TOKENS) + len(words), run.base_model)
    assert run.policy is not None, "a run starts from one of the two"
    folder = _found(run.policy.path, run.policy.revision, (CONFIG_FILE,))
    _refuse_missing(folder, KEY)
    if not is_file(folder / CONFIG_FILE, KEY, MEND):
        raise MissingError(f"{KEY} {folder} holds no {CONFIG_FILE}: check the path")
    return read_config(folder)


def _found(
    path: str,
    revision: str | None,
    files: tuple[str, ...],
    left_out: tuple[str, ...] = (),
    what: str = KEY,
) -> Path:
    """Return the folder that is meant; of a hub id the one in the cache, with these files in it."""
    folder = Path(path)
    if not is_there(folder, what, MEND) and _HUB_ID.fullmatch(path):
        return _fetch(path, revision, files, left_out, what)
    if revision is not None:
        raise InputError(
            f"policy.revision {revision!r} is of a hub id, and policy.path {path} is a folder: "
            "leave policy.revision out, or name the hub id"
        )
    return folder


def _refuse_missing(folder: Path, what: str) -> None:
    if not is_there(folder, what, MEND):
        raise MissingError(f"{what} {folder} does not exist: {MEND}")


def _fetch(
    hub_id: str,
    revision: str | None,
    files: tuple[str, ...],
    left_out: tuple[str, ...],
    what: str,
) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(
            snapshot_download(
                hub_id,
                revision=revision,
                allow_patterns=list(files),
                ignore_patterns=list(left_out),
            )
        )
    except Exception as error:  # of the hub, its client, the network and the cache's disk alike
        wanted = "" if revision is None else f" at revision {revision}"
        raise MissingError(
            f"{what} {hub_id}{wanted}: no such folder here, and the Hugging Face hub did not "
            f"give it ({type(error).__name__}); check the name"
            f"{'' if revision is None else ', policy.revision'}, the network, or `hf auth login`"
        ) from error
