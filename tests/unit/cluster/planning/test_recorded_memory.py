"""The plan against what was measured on a GPU: the table of docs/results/gpus.md, row by row."""

from __future__ import annotations

import pytest

from tests.support.recorded_memory import Measured, measured

BOUND = 0.02
"""Largest error of the plan, as a share of the peak."""


def test_four_measurements_are_on_record() -> None:
    assert len(measured()) == 4


@pytest.mark.parametrize("row", measured(), ids=lambda each: f"{each.weights}-{each.dtype}")
def test_the_plan_agrees_with_what_was_measured(row: Measured) -> None:
    assert row.planned() == pytest.approx(row.peak, rel=BOUND)
