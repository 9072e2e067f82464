"""Going back is exact: the same batches give the same weights.

On 1 and 2 ranks, ZeRO 0, 2 and 3, in float32 and in bfloat16, and with the optimizer on the host.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.rank_fixtures import ran_by_ranks, run_warm
from tests.support.warm_python import WarmPython

RESUMED = ("2", "compiled-0", "offloaded-2", "offloaded-2-bfloat16", "offloaded-3")
ENGINES = ("0", "2", "3", "0-bfloat16", "2-bfloat16", "3-bfloat16", "offloaded-2")


ran = ran_by_ranks(ENGINES, "tests.support.checkpoint_ranks", alone=[pytest.mark.long])


@pytest.mark.parametrize("engine", ENGINES)
def test_steps_repeated_after_a_restore_are_the_same_bit_for_bit(ran: Path, engine: str) -> None:
    told: dict[str, Any] = json.loads((ran / f"{engine}.json").read_text())
    step_0, _, step_2, step_3, *repeated = told["steps"]
    assert step_2["sha256"] != step_3["sha256"]
    assert len({each["averaged_sha256"] for each in (step_0, step_2, step_3)}) == 3
    assert repeated == [step_2, step_3, step_0, step_2, step_2]
    # Version 5 is version 2 again; the clock stands where it stood.
    assert told["restored"] == [5, 2, 64]
    # Every second version, and the one before a reward version was first trained on.
    assert told["versions"] == [0, 2, 6, 8, 10, 12]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_nan_on_one_rank_ends_the_step_on_all_and_leaves_nothing_behind(
    ran: Path, engine: str
) -> None:
    """That nothing stays is in the last of the repeated steps above."""
    told: dict[str, Any] = json.loads((ran / f"{engine}.json").read_text())
    assert told["broken"].split(" is ")[-1] in ("nan", "inf")  # sharded, DeepSpeed calls it inf


@pytest.mark.parametrize("engine", ENGINES)
def test_a_hurt_file_is_refused_and_nothing_was_changed(ran: Path, engine: str) -> None:
    told: dict[str, Any] = json.loads((ran / f"{engine}.json").read_text())
    assert "has sha256" in told["refusal"] or "another rank cannot read" in told["refusal"]


@pytest.fixture(scope="module")
def resumed(
    tiny_model: Path,
    tmp_path_factory: pytest.TempPathFactory,
    warm_pythons: tuple[WarmPython, WarmPython],
) -> Path:
    out = tmp_path_factory.mktemp("resumed")
    run_warm(warm_pythons[:1], "tests.support.resumed_ranks", tiny_model, out, RESUMED)
    return out


@pytest.mark.parametrize("engine", RESUMED)
def test_another_engine_goes_on_bit_for_bit(resumed: Path, engine: str) -> None:
    """DeepSpeed's own Adam keeps powers of β where no state reaches them."""
    told: dict[str, Any] = json.loads((resumed / f"{engine}.json").read_text())
    through = told["through"]
    assert len(set(through)) == len(through)
    assert told["resumed"] == {count: through[int(count) :] for count in ("2", "5")}
