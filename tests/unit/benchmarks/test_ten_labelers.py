"""The tables of the experiment with bad labelers, worked out by hand."""

from __future__ import annotations

import pytest

from benchmarks.ten_labelers.fits import TREATMENTS
from benchmarks.ten_labelers.tables import accuracy_table


def run(none: float, both: float, truth: float) -> dict[str, float]:
    return {**dict.fromkeys(TREATMENTS, both), "none": none, "both": both, "truth": truth}


@pytest.mark.parametrize(
    ("runs", "words"),
    [
        ([run(0.6, 0.7, 0.8), run(0.6, 0.8, 0.8)], "median 75% of 2."),
        # Of a seed in which the truth gained nothing there is no share.
        ([run(0.6, 0.7, 0.8), run(0.7, 0.7, 0.7)], "median 50% of 1, 1 without a loss."),
        ([run(0.7, 0.7, 0.7)], "nothing was lost in any, 1 without a loss."),
    ],
)
def test_what_both_recover_is_told_of_seeds_that_lost_something(
    runs: list[dict[str, float]], words: str
) -> None:
    assert accuracy_table(runs).endswith(f"Recovered by both, seed by seed: {words}")
