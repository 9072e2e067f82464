"""A name for what can be written as JSON: a recipe, a config, a line."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any


def json_digest(content: Any) -> str:
    """Return SHA-256 of a content as JSON, in hex: the same whatever the order of its keys.

    Raises:
        TypeError: It cannot be written as JSON.
    """
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def leave_out_as_before(settings: dict[str, Any], added: Mapping[str, object]) -> None:
    """Take out what settings came to have later, where it says what was so before.

    What was named by the digest of its settings then is found by it now.

    Args:
        settings: Content of a config's section; it is changed.
        added: What was so before there was such a key, by key.
    """
    for key, before in added.items():
        if settings[key] == before:
            del settings[key]
