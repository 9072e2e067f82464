"""What a user can set about how folders reach other nodes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator

OBJECT_STORE = "object_store"
SHARED_DISK = "shared_disk"
_OF_ONE_PROCESS = ("memory",)


def check_store(store: str) -> str:
    """Return the store; ValueError where it is neither a known word nor a URL for all nodes."""
    if store in (OBJECT_STORE, SHARED_DISK):
        return store
    scheme, separator, rest = store.partition("://")
    if not separator or not scheme or not rest:
        raise ValueError(
            f'want "{OBJECT_STORE}", "{SHARED_DISK}" or a URL, e.g. "s3://bucket/andon" or '
            '"file:///shared/andon"'
        )
    if scheme in _OF_ONE_PROCESS:
        raise ValueError(f"{scheme}:// is each process's own: name a place that all nodes see")
    if scheme in ("file", "local") and not rest.startswith("/"):
        raise ValueError(f'{store} names no absolute path: want e.g. "file:///shared/andon"')
    if urlsplit(store).password is not None:
        raise ValueError("it is saved with the run and must hold no password: set it on the nodes")
    return store


Store = Annotated[str, AfterValidator(check_store)]


def check_cache(cache: str | None) -> str | None:
    """Return the folder for copies; ValueError where each node would find another by it."""
    if cache is not None and not Path(cache).is_absolute():
        raise ValueError(f'{cache} is no absolute path: want e.g. "/scratch", on every node')
    return cache


Cache = Annotated[str | None, AfterValidator(check_cache)]
