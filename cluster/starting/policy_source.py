"""From `policy.path` to a folder on this machine: given, made, or fetched from the hub."""

from __future__ import annotations

import re
from pathlib import Path

from protocol.errors import MissingError
from protocol.model_folder import inspect_model

_HUB_ID = re.compile(r"^[\w.-]+/[\w.-]+$")
_NEEDED = ("*.json", "*.jinja", "*.safetensors", "*.txt", "*.model")


def policy_folder(path: str) -> Path:
    """Return the model's folder, fetching a hub id into the Hugging Face cache first.

    Raises:
        MissingError: No such folder, and no such hub id or no way to fetch it.
        InputError: The folder holds no model.
    """
    folder = Path(path)
    if not folder.exists() and _HUB_ID.match(path):
        folder = _fetch(path)
    inspect_model(folder)
    return folder.resolve()


def _fetch(hub_id: str) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(hub_id, allow_patterns=list(_NEEDED)))
    except Exception as error:  # of the hub, its client, the network and the cache's disk alike
        raise MissingError(
            f"policy.path {hub_id}: no such folder here, and the Hugging Face hub did not give it "
            f"({type(error).__name__}); check the name, the network, or `hf auth login`"
        ) from error
