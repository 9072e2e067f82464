"""A sweep over a config, by wandb's own agent, against the stand-in for its server."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import yaml

from tests.support.patience import PATIENCE_S
from tests.support.recorded_wandb import ENTITY, RecordedWandb
from tests.support.run_process import REPOSITORY

SWEEP = REPOSITORY / "examples" / "sweep.yaml"
ANDON = """#!{python}
# Stands for the run: the config that its command line says, and its run in wandb, for one row.
import sys, time
from pathlib import Path
from cluster.config_file import load_config
from cluster.metrics.hub import open_wandb

run, config, *overrides = sys.argv[1:]
assert run == "run"
chosen = load_config(Path({root!r}) / config, overrides)
folder = Path(f"run-{{chosen.run.seed}}")
folder.mkdir()
given = chosen.model_dump(mode="json")
for began_at in (1.0, 2.0):  # begun, and gone on with
    sink = open_wandb(
        chosen.metrics, folder=folder, run_id="reviews", run_config=given, began_at=began_at
    )
    sink.close()
"""


def test_each_choice_is_a_run_of_the_sweep_with_its_settings(tmp_path: Path) -> None:
    program = tmp_path / ".venv" / "bin" / "andon"
    program.parent.mkdir(parents=True)
    program.write_text(ANDON.format(python=sys.executable, root=str(REPOSITORY)))
    program.chmod(0o755)
    with RecordedWandb() as server:
        server.sweep = yaml.safe_load(SWEEP.read_text())
        server.choices = [
            {"ppo.lr": 0.0001, "kl.target": 4, "run.seed": 1},
            {"ppo.lr": 0.0003, "kl.target": 16, "run.seed": 2},
        ]
        command = [
            str(Path(sys.executable).with_name("wandb")),
            "agent",
            f"{ENTITY}/andon/ab12cd34",
        ]
        told = subprocess.run(
            command,
            cwd=tmp_path,
            env={**os.environ, **server.environment(), "PYTHONPATH": str(REPOSITORY)},
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )
    assert told.returncode == 0, told.stdout + told.stderr
    assert server.refused == []
    assert set(server.runs) == {"chosen-1", "chosen-0"}, told.stdout + told.stderr
    configs = [server.runs[name].config for name in ("chosen-1", "chosen-0")]
    found = [
        (each["ppo"]["value"]["lr"], each["kl"]["value"]["target"], each["run"]["value"]["seed"])
        for each in configs
    ]
    assert found == [(0.0001, 4, 1), (0.0003, 16, 2)]


def test_the_parameters_are_keys_of_the_config_and_its_measure_is_a_metric() -> None:
    from cluster.config_file import load_config
    from cluster.metrics.names import CATALOGUE

    sweep = yaml.safe_load(SWEEP.read_text())
    some = [
        f"{name}={values['values'][0] if 'values' in values else values['max']}"
        for name, values in sweep["parameters"].items()
    ]
    *_, config, setting, _ = sweep["command"]
    chosen = load_config(REPOSITORY / config, [setting, *some])
    assert (chosen.ppo.lr, chosen.kl.target, chosen.metrics.wandb) == (0.0005, 4, "online")
    assert sweep["metric"]["name"] in CATALOGUE
