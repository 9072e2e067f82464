"""The task's table and figure, from runs as they are left; and which runs are made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cluster.config_file import load_config
from examples.tasks.judges.__main__ import TASTES, case_of, correlation_table, table
from examples.tasks.judges.figure import draw

CONFIG = Path(__file__).parents[3] / "examples" / "tasks" / "judges" / "run.toml"


def summary(training: float, judges: float, item: float, system: float | None) -> dict[str, Any]:
    rates = {"training": training, "judges": judges, "gap": training - judges}
    return {
        "seed": 1,
        **{f"judged_winrate_{name}": value for name, value in rates.items()},
        **{f"judged_winrate_{name}_low": value - 0.1 for name, value in rates.items()},
        **{f"judged_winrate_{name}_high": value + 0.05 for name, value in rates.items()},
        **{
            f"score_{level}_{statistic}_{side}": None if value is None else value + more
            for level, value in (("item", item), ("system", system))
            for statistic, more in (("pearson", 0.05), ("spearman", 0.0), ("kendall", -0.05))
            for side in ("training", "judges")
        },
        "score_items_training": 40,
        "score_items_judges": 24,
        "score_systems_training": 4,
        "score_systems_judges": 0 if system is None else 4,
    }


def test_the_table_has_the_means_over_seeds_and_says_what_is_not_known() -> None:
    runs = {
        "alike": [summary(0.7, 0.6, 0.2, 0.5), summary(0.8, 0.8, 0.4, None)],
        "myopic": [summary(0.9, 0.6, -0.1, None)],
    }
    *_, alike, myopic = table(runs).splitlines()
    assert alike == "| alike | 75% | 70% | +5 points |"
    assert myopic == "| myopic | 90% | 60% | +30 points |"


def test_the_other_table_has_every_correlation_of_both_levels_and_sides() -> None:
    runs = {"alike": [summary(0.7, 0.6, 0.2, 0.5), summary(0.8, 0.8, 0.4, None)]}
    _, _, *rows = correlation_table(runs).splitlines()
    assert rows == [
        "| alike | item | those who train | +0.35 | +0.30 | +0.25 | 40 |",
        "| alike | item | judges | +0.35 | +0.30 | +0.25 | 24 |",
        "| alike | system | those who train | +0.55 | +0.50 | +0.45 | 4 |",
        "| alike | system | judges | +0.55 | +0.50 | +0.45 | 2 |",
    ]


def test_the_figure_is_drawn_also_of_a_run_that_nobody_judged(tmp_path: Path) -> None:
    judged = summary(0.7, 0.6, 0.2, 0.5)
    unjudged = {name: 1 if name == "seed" else None for name in judged}
    draw({"alike": [judged, unjudged], "myopic": [judged]}, tmp_path / "made" / "it.png")
    assert (tmp_path / "made" / "it.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("taste", TASTES)
def test_those_who_train_differ_in_taste_and_judges_never_do(taste: str) -> None:
    run, plain = case_of(taste, 3).config, load_config(CONFIG)
    assert (run.run.name, run.run.seed) == (f"judges-{taste}", 3)
    assert run.judges == plain.judges
    for ours, theirs in zip(run.labelers, plain.labelers, strict=True):
        gamma = 1.0 if ours.name in run.judges else TASTES[taste]
        assert ours == theirs.model_copy(update={"gamma": gamma})


def test_the_config_is_the_demo_s_but_for_its_judges() -> None:
    run = load_config(CONFIG)
    demo = load_config(CONFIG.parents[3] / "cluster" / "demo.toml")
    assert run.judges == ("first-judge", "second-judge")
    assert {each.name for each in run.labelers[-2:]} == set(run.judges)
    same = {
        "run": run.run.model_copy(update={"name": demo.run.name}),
        "judges": (),
        "labelers": run.labelers[:-2],
    }
    assert run.model_copy(update=same) == demo
