"""Models taken apart while they are loaded and written, on two ranks under ZeRO-3."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support import loading_ranks as ranks
from tests.support.rank_fixtures import run_warm
from tests.support.warm_python import WarmPython

WORLD_SIZE = 2
KINDS = f"qwen2/{'/'.join(sorted(set(ranks.KIND) - {'policy', 'reward'}))}"
CASES = (*ranks.ARCHITECTURES, ranks.OTHER_HEAD, KINDS)


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
@pytest.mark.parametrize("loaded", ranks.LOADED)
def test_a_rank_never_holds_more_than_its_share_and_a_weight(
    told: Path, loaded: str, rank: int
) -> None:
    found = json.loads(ranks.told_in(told, ranks.LARGE, rank).read_text())
    share = ranks.share_of(told / ranks.LARGE, loaded, WORLD_SIZE)
    parted, whole = found[f"{loaded} at stage 3"], found[f"{loaded} at stage 0"]
    assert parted["held"] == pytest.approx(share, rel=0.01)
    assert parted["peak"] <= share + ranks.LARGEST_BYTES + ranks.SLACK
    # What is counted is memory that models take: below stage 3 they are whole.
    _, num_trunks = ranks.LOADED[loaded]
    assert whole["held"] > 1.5 * share / num_trunks


@pytest.mark.parametrize("rank", range(WORLD_SIZE))
@pytest.mark.parametrize(("what", "num_weights"), [("published", ranks.NUM_PUBLISHED), ("kept", 0)])
def test_a_rank_that_writes_holds_one_weight_at_a_time(
    told: Path, what: str, num_weights: int, rank: int
) -> None:
    found = json.loads(ranks.told_in(told, ranks.LARGE, rank).read_text())[what]
    assert found["peak"] <= num_weights * ranks.LARGEST_BYTES + ranks.SMALL
    assert found["held"] <= ranks.SMALL
