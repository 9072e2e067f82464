"""An engine that rests between two steps goes on as if it had not, bit for bit, by real DeepSpeed.

On a GPU `tests/gpu/test_turns.py` asks the same, and what memory it leaves there.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.learner_ranks import run_ranks

ENGINES = ("2", "2-bfloat16", "offloaded-2", "offloaded-2-bfloat16")


@pytest.fixture(scope="module", params=ENGINES)
def told(
    request: pytest.FixtureRequest, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """What one engine told; those with the optimizer on the host compile it, the first time."""
    out = tmp_path_factory.mktemp("resting")
    run_ranks(1, tiny_model, out, [request.param], module="tests.support.resting_ranks")
    figures: dict[str, Any] = json.loads((out / f"{request.param}.json").read_text())
    return figures


def test_a_rest_changes_nothing(told: dict[str, Any]) -> None:
    rested, awake = told["rested"], told["awake"]
    assert rested["before"] == rested["after"] == awake["before"]
    assert rested["end"] == awake["end"] != rested["after"]
