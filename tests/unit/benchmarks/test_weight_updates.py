"""Pauses for new weights, from a stream of tokens, and what is made of them."""

from __future__ import annotations

import pytest
import torch

from benchmarks.weight_updates.__main__ import Update, row
from benchmarks.weight_updates.models import SIZES, make_model, num_bytes
from benchmarks.weight_updates.streaming import Stream

BYTES = {"5 MB": 5e6, "100 MB": 1e8, "1 GB": 1e9}


def test_the_pause_is_what_a_swap_takes_beyond_a_step() -> None:
    stream = Stream(moments=(0.0, 0.5, 1.0, 1.5, 4.0, 4.5), versions=(3, 3, 3, 3, 4, 4))
    assert stream.step_s == 0.5
    assert stream.pause_s == 2.0


def test_a_version_that_came_too_late_is_told() -> None:
    with pytest.raises(ValueError, match="make it longer"):
        _ = Stream(moments=(0.0, 0.5, 1.0), versions=(3, 3, 3)).pause_s


@pytest.mark.parametrize("name", SIZES)
def test_models_have_the_sizes_that_they_are_named_for(name: str) -> None:
    with torch.device("meta"):
        model = make_model(SIZES[name])
    assert num_bytes(model.parameters()) == pytest.approx(BYTES[name], rel=0.1)


def test_a_row_gives_medians_and_the_share_of_a_copy() -> None:
    updates = [
        Update(copied_s=0.1, published_s=0.3, taken_s=0.2, pause_s=pause, step_s=0.005)
        for pause in (0.02, 0.025, 0.09)
    ]
    line = row("5 MB", "shared memory", updates, "pause 30 ms")
    assert "| 100.0 | 300 | 200 | 5 | 25 (20 to 90) | 0.20 | pause 30 ms |" in line
