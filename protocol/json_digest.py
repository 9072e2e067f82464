"""A name for what can be written as JSON: a recipe, a config, a line."""

from __future__ import annotations

import hashlib
import json
from typing import Any


def json_digest(content: Any) -> str:
    """Return SHA-256 of a content as JSON, in hex: the same whatever the order of its keys.

    Raises:
        TypeError: It cannot be written as JSON.
    """
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
