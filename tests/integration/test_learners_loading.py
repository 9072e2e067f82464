"""Models taken apart while they are loaded and written, on two ranks under ZeRO-3."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from protocol.model_folder import weight_files
from tests.support import loading_ranks as ranks
from tests.support.rank_fixtures import run_warm
from tests.support.warm_python import WarmPython

WORLD_SIZE = 2
KINDS = f"qwen2/{'/'.join(sorted(set(ranks.KIND) - {'policy', 'reward'}))}"
CASES = (*ranks.ARCHITECTURES, ranks.OTHER_HEAD, KINDS)
SLACK = 2**23
"""Bytes beyond a rank's share and one largest weight: a weight's other copy while it is read, or
what a layer has beyond the largest weight while the architecture is tried."""


@pytest.fixture(scope="module")
def told(
    tmp_path_factory: pytest.TempPathFactory, warm_pythons: tuple[WarmPython, WarmPython]
) -> Path:
    out = tmp_path_factory.mktemp("loading")
    ranks.save_models(out)
    ranks.save_large(out / ranks.LARGE)
    run_warm(warm_pythons, "tests.support.loading_ranks", out, out, [*CASES, ranks.LARGE])
    return out


@pytest.mark.parametrize("rank", range(WORLD_SIZE))
@pytest.mark.parametrize("case", CASES)
def test_what_is_taken_apart_is_bit_for_bit_what_is_loaded_whole(
    told: Path, case: str, rank: int
) -> None:
    differences = json.loads(ranks.told_in(told, case, rank).read_text())
    assert len(differences) == 2 * (case.count("/") or 2)
    refused = "both are refused" if case == ranks.SCALED else ""
    for kind, difference in differences.items():
        assert difference == (refused if kind.startswith("policy") else ""), kind


@pytest.mark.parametrize("rank", range(WORLD_SIZE))
@pytest.mark.parametrize(
    ("kind", "num_heads", "num_trunks"),
    [("policy", 1, 1), ("policy and critic", 1, 2), ("reward", 0, 1)],
)
def test_a_rank_never_holds_more_than_its_share_and_a_weight(
    told: Path, kind: str, num_heads: int, num_trunks: int, rank: int
) -> None:
    found = json.loads(ranks.told_in(told, ranks.LARGE, rank).read_text())
    (file,) = weight_files(told / ranks.LARGE)
    head = ranks.LARGEST_BYTES
    trunk = file.stat().st_size - head
    share = (num_heads * head + num_trunks * trunk) // WORLD_SIZE
    parted, whole = found[f"{kind} at stage 3"], found[f"{kind} at stage 0"]
    assert parted["held"] == pytest.approx(share, rel=0.01)
    assert parted["peak"] <= share + ranks.LARGEST_BYTES + SLACK
    # What is counted is memory that models take: below stage 3 they are whole.
    assert whole["held"] > 1.5 * share / num_trunks


@pytest.mark.parametrize("rank", range(WORLD_SIZE))
@pytest.mark.parametrize(
    ("what", "num_weights"),
    [
        ("published", 2),  # as it came from all ranks or goes out, and whole
        ("kept", 0),
    ],
)
def test_a_rank_that_writes_holds_one_weight_at_a_time(
    told: Path, what: str, num_weights: int, rank: int
) -> None:
    found = json.loads(ranks.told_in(told, ranks.LARGE, rank).read_text())[what]
    assert found["peak"] <= num_weights * ranks.LARGEST_BYTES + 2**16
    assert found["held"] <= 2**16
