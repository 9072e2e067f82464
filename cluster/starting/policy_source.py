"""From `policy.path` to a folder on this machine: given, made, or fetched from the hub.

For a plan the model's config is enough: no weights are needed, nor fetched.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from cluster.config import RunConfig
from protocol.errors import MissingError
from protocol.files import is_file, is_there
from protocol.model_folder import CONFIG_FILE, inspect_model

MEND = "name a model's folder, or a hub id"
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_NEEDED = ("*.json", "*.jinja", "*.safetensors", "*.txt", "*.model")


def policy_folder(path: str) -> Path:
    """Return the model's folder, fetching a hub id into the Hugging Face cache first.

    Raises:
        MissingError: No such folder, and no such hub id or no way to fetch it.
        InputError: The folder holds no model, or its path is none.
        ResourceError: It may not be looked into.
    """
    folder = _found(path, _NEEDED)
    inspect_model(folder)
    return folder.resolve()


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
    folder = _found(run.policy.path, (CONFIG_FILE,))
    if not is_file(folder / CONFIG_FILE, "policy.path", MEND):
        raise MissingError(f"policy.path {folder} holds no {CONFIG_FILE}: check the path")
    return read_config(folder)


def _found(path: str, files: tuple[str, ...]) -> Path:
    """Return the folder that is meant; of a hub id the one in the cache, with these files in it."""
    folder = Path(path)
    if not is_there(folder, "policy.path", MEND) and _HUB_ID.fullmatch(path):
        return _fetch(path, files)
    return folder


def _fetch(hub_id: str, files: tuple[str, ...]) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(hub_id, allow_patterns=list(files)))
    except Exception as error:  # of the hub, its client, the network and the cache's disk alike
        raise MissingError(
            f"policy.path {hub_id}: no such folder here, and the Hugging Face hub did not give it "
            f"({type(error).__name__}); check the name, the network, or `hf auth login`"
        ) from error
