"""An engine that rests between two steps goes on as if it had not, bit for bit, by real DeepSpeed.

On a GPU `tests/gpu/test_turns.py` asks the same, and what memory it leaves there.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.rank_fixtures import run_warm
from tests.support.warm_python import WarmPython

ENGINES = ("2", "2-bfloat16", "offloaded-2", "offloaded-2-bfloat16")


@pytest.fixture(scope="module")
def told(
    tiny_model: Path,
    tmp_path_factory: pytest.TempPathFactory,
    warm_pythons: tuple[WarmPython, WarmPython],
) -> Path:
    """What engines told; those with the optimizer on the host compile it, the first time."""
    out = tmp_path_factory.mktemp("resting")
    run_warm(warm_pythons[:1], "tests.support.resting_ranks", tiny_model, out, ENGINES)
    return out


@pytest.mark.parametrize("engine", ENGINES)
def test_a_rest_changes_nothing(told: Path, engine: str) -> None:
    figures = json.loads((told / f"{engine}.json").read_text())
    rested, awake = figures["rested"], figures["awake"]
    assert rested["before"] == rested["after"] == awake["before"]
    assert rested["end"] == awake["end"] != rested["after"]
