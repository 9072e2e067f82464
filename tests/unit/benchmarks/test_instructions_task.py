"""The task's table and figure, from runs as they are left; and which runs are made."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cluster.config_file import load_config
from examples.tasks.instructions.__main__ import case_of, name_of, table
from examples.tasks.instructions.figure import draw
from tests.support.present import present

CONFIG = Path(__file__).parents[3] / "examples" / "tasks" / "instructions" / "run.toml"


def summary(gold: float, kl: float, loss: float) -> dict[str, Any]:
    return {
        "gold_base_mean": 0.5,
        "gold_final_mean": gold,
        "kl_final_mean": kl,
        "pretraining_loss_base": 2.0,
        "pretraining_loss_final": loss,
    }


def test_the_table_has_rho_and_the_means_over_seeds() -> None:
    runs = {
        "PPO alone": [summary(3.0, 8.0, 2.5), summary(4.0, 10.0, 2.7)],
        "PPO-ptx": [summary(2.0, 5.0, 2.05)],
    }
    *_, rho, alone, ptx = table(runs).splitlines()
    assert rho == "| ρ | +0.50 | 0.0 | 2.000 | +0.000 |"
    assert alone == "| PPO alone | +3.50 | 9.0 | 2.600 | +0.600 |"
    assert ptx == "| PPO-ptx | +2.00 | 5.0 | 2.050 | +0.050 |"


def test_a_case_is_a_run_of_its_coefficient_and_its_seed() -> None:
    case = case_of(0.0, 3)
    assert (case.config.ppo.ptx.coefficient, case.config.run.name) == (0.0, "instructions-ptx0")
    assert present(case.config.pretraining).seed == present(case.config.base_model).seed == 3
    assert case_of(27.8, 2).folder.name.startswith("ptx27.8-2-")


def test_the_figure_is_drawn(tmp_path: Path) -> None:
    folders = []
    for number, length in enumerate((4, 3)):
        folder = tmp_path / str(number)
        folder.mkdir()
        rows = [
            {
                "policy/step": step,
                "policy/episodes": 128 * step,
                "reward/gold_mean": float(step),
                "policy/alignment_tax": 0.1 * step,
            }
            for step in range(length)
        ]
        (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        folders.append(folder)
    draw({name_of(0.0): folders, name_of(27.8): folders[:1]}, tmp_path / "made" / "it.png")
    assert (tmp_path / "made" / "it.png").read_bytes().startswith(b"\x89PNG")


def test_the_config_is_as_published_where_it_can_be() -> None:
    run = load_config(CONFIG)
    demo = load_config(CONFIG.parents[3] / "cluster" / "demo.toml")
    assert run.ppo.ptx.coefficient == 27.8
    assert run.ppo.ptx.examples_per_episode * run.ppo.epochs == 8
    assert (run.labels.kind, run.labels.num_candidates) == ("ranking", 6)
    assert run.base_model == demo.base_model  # so one that is made serves both
    assert run.base_model is not None
    assert run.pretraining is not None
    assert run.pretraining.num_texts == run.base_model.num_texts
    assert run.pretraining.seed == run.base_model.seed
    # As much of ρ is left in the average as in the published run's.
    assert run.learner.ema is not None
    num_steps = run.run.episodes // run.ppo.batch_size
    assert run.learner.ema.decay**num_steps == pytest.approx(0.992**500, rel=0.05)
