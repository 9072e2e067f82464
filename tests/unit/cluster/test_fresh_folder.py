"""The folder that a run has where none is named: the next free one, whoever else looks for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster import run
from cluster.config_file import parse_config

CONFIG = parse_config(
    {
        "run": {"name": "demo", "seed": 1, "episodes": 64},
        "people": ["ann"],
        "prompts": {"source": "reviews"},
        "labels": {"total": 1000},
        "policy": {"path": "model"},
        "ppo": {"batch_size": 64},
    },
    "test",
)


@pytest.fixture(autouse=True)
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(run, "RUNS", tmp_path / "runs")
    return tmp_path / "runs"


def test_each_is_the_next_that_nothing_has_the_name_of(runs: Path) -> None:
    assert run._fresh_folder(CONFIG).path == runs / "demo-1"
    (runs / "demo-1.2").symlink_to("nowhere")
    assert run._fresh_folder(CONFIG).path == runs / "demo-1.3"


def test_one_that_another_run_takes_meanwhile_is_left_to_it(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = run._fresh_path

    def found_by_two(config: object) -> Path:
        path = find(CONFIG)
        if not runs.exists():
            path.mkdir(parents=True)  # so did the other, which is quicker
        return path

    monkeypatch.setattr(run, "_fresh_path", found_by_two)
    assert run._fresh_folder(CONFIG).path == runs / "demo-1.2"
