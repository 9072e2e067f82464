"""A whole run as a part of a series: which it is, where it lies, and that it is made once."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from examples.tasks import whole_run
from examples.tasks.whole_run import Case
from tests.support.present import present
from tests.support.small_task import TASKS

CONFIG = TASKS / "instructions" / "run.toml"


@pytest.fixture
def case(tmp_path: Path) -> Case:
    file = tmp_path / "run.toml"
    file.write_text(CONFIG.read_text())
    changed = {"ppo.ptx.coefficient": 1.0}
    return Case(file=file, series=tmp_path, name="small", seed=7, changed=changed)


def test_its_config_is_the_file_s_but_for_what_is_changed_and_all_its_seeds(case: Case) -> None:
    config = case.config
    assert config.ppo.ptx.coefficient == 1.0
    assert config.ppo.ptx.examples_per_episode == 2
    assert (config.run.seed, config.prompts.seed, present(config.base_model).seed) == (7, 7, 7)


def test_it_is_made_once_and_one_that_was_stopped_goes_on(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[list[str]] = []
    monkeypatch.setattr(whole_run, "run_program", lambda command: called.append(command[3:]))
    case.run()
    [[*command]] = called
    assert command[:4] == ["run", str(case.file), "--folder", str(case.folder)]
    assert {"ppo.ptx.coefficient=1.0", "run.seed=7"} < set(command)
    called.clear()
    case.folder.mkdir()
    for state, is_resumed in (("stopped", True), ("finished", False)):
        (case.folder / "run.json").write_text(json.dumps({"state": state}))
        case.run()
        assert called == ([["resume", str(case.folder)]] if is_resumed else [])
        called.clear()


def test_another_recipe_lies_in_another_folder(case: Case) -> None:
    before = case.folder
    assert before.name.startswith("small-7-")
    assert replace(case, changed={"ppo.ptx.coefficient": 2.0}).folder != before
    case.file.write_text(CONFIG.read_text() + "# said otherwise\n")
    assert case.folder == before
    case.file.write_text(CONFIG.read_text().replace("episodes = 15360", "episodes = 30720", 1))
    assert case.folder != before


def test_what_came_of_it_is_read_from_its_folder(case: Case) -> None:
    (case.folder / "report").mkdir(parents=True)
    (case.folder / "report" / "summary.json").write_text('{"gold_final_mean": 1.5}')
    assert case.summary == {"gold_final_mean": 1.5}
    assert case.policy() == case.folder / "policy" / "final"
