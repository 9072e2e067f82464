"""The plans printed beside the examples are what `andon plan` says today, and all fit."""

from __future__ import annotations

import pytest

from cluster.planning.table import WIDTH
from tools.example_plans import EXAMPLES, SHOWN, Example, plan_of


@pytest.mark.parametrize("example", SHOWN, ids=lambda example: example.name)
def test_a_plan_beside_an_example_is_up_to_date(example: Example) -> None:
    text = example.page.read_text(encoding="utf-8")
    assert text == plan_of(example), "run tools/example_plans.py"
    assert text.endswith("\nfits\n")
    assert max(map(len, text.splitlines())) <= WIDTH


def test_every_example_for_gpus_has_its_plan() -> None:
    for_gpus = {path.stem for path in EXAMPLES.glob("*.toml") if "gpus_per" in path.read_text()}
    assert {example.name for example in SHOWN} == for_gpus
