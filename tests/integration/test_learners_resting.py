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


@pytest.fixture(scope="module")
def ran(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("resting")
    run_ranks(1, tiny_model, out, ENGINES, module="tests.support.resting_ranks")
    return out


@pytest.mark.parametrize("engine", ENGINES)
def test_a_rest_changes_nothing(ran: Path, engine: str) -> None:
    told: dict[str, Any] = json.loads((ran / f"{engine}.json").read_text())
    rested, awake = told["rested"], told["awake"]
    assert rested["before"] == rested["after"] == awake["before"]
    assert rested["end"] == awake["end"] != rested["after"]
