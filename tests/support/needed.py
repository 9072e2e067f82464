"""Programs that the tests of this machine may lack."""

from __future__ import annotations

import os
from typing import TypeVar

import pytest

T = TypeVar("T")


def needed(found: T | None, required_by: str, missing: str) -> T:
    """Return what was found; else skip, or fail where a variable says that it must be there.

    Args:
        found: None where it is not there.
        required_by: The variable, e.g. "ANDON_REQUIRE_BROWSER".
        missing: What is missing, and what brings it.
    """
    if found is None:
        if os.environ.get(required_by) == "1":
            pytest.fail(missing)
        pytest.skip(missing)
    return found
