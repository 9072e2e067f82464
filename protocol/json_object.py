"""The JSON files of a model folder: each holds one object."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from protocol.errors import InputError


def read_json_object(path: Path) -> dict[str, Any]:
    """Return what a file of a model holds.

    Raises:
        InputError: It is not JSON, or no object.
        OSError: It cannot be read.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not JSON ({error}): save or fetch the model again") from None
    if not isinstance(content, dict):
        raise InputError(f"{path} is not a JSON object: save or fetch the model again")
    return content
