"""A run writes down the commits of the hub that it took, and takes them again when resumed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cluster.config import RunConfig
from cluster.config_file import load_config, parse_config
from cluster.run import resume_to_end, run_to_end
from cluster.run_folder import RunFolder
from protocol.errors import InputError
from tests.support.hub_stand_in import HubStandIn

CONTENT: dict[str, Any] = {
    "prompts": {"source": "hub", "dataset": "some/set"},
    "policy": {"path": "some/model"},
    "people": ["ann"],
    "run": {"episodes": 5120},
}


def revisions(config: RunConfig) -> tuple[str | None, str | None]:
    assert config.policy is not None
    return config.policy.revision, config.prompts.revision


@pytest.fixture
def conducted(monkeypatch: pytest.MonkeyPatch) -> list[RunConfig]:
    """The configs of the runs that were conducted, none of which takes any time."""
    conducted: list[RunConfig] = []
    monkeypatch.setattr("cluster.run.prepare_environment", lambda _: None)
    monkeypatch.setattr("cluster.run.check_before_start", lambda *_: None)
    monkeypatch.setattr("cluster.run._conduct_to_end", lambda config, *_: conducted.append(config))
    return conducted


@pytest.mark.parametrize(
    ("name", "key"), [("some/model", "policy.path"), ("some/set", "prompts.dataset")]
)
def test_what_lies_at_an_id_where_a_run_is_resumed_is_not_taken_for_it(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    conducted: list[RunConfig],
    name: str,
    key: str,
) -> None:
    HubStandIn(tmp_path, monkeypatch).commit("a" * 40, main=True)
    here, there = tmp_path / "here", tmp_path / "there"
    path = tmp_path / "runs" / "one"
    (there / name).mkdir(parents=True)
    here.mkdir()
    monkeypatch.chdir(here)
    run_to_end(parse_config(CONTENT, "test"), path)
    kept = {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}
    monkeypatch.chdir(there)
    with pytest.raises(InputError, match=rf"{key} of this run is '{name}', .*/there/{name}"):
        resume_to_end(path, (), None)
    assert {file: file.read_bytes() for file in path.rglob("*") if file.is_file()} == kept
    monkeypatch.chdir(here)
    resume_to_end(path, (), None)
    assert [revisions(each) for each in conducted] == [("a" * 40, "d" * 40)] * 2


def test_a_resumed_run_takes_the_files_it_began_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = HubStandIn(tmp_path, monkeypatch)
    hub.commit("a" * 40, main=True)
    checked, conducted = [], []
    monkeypatch.setattr("cluster.run.prepare_environment", lambda _: None)
    monkeypatch.setattr("cluster.run.check_before_start", lambda config, *_: checked.append(config))
    monkeypatch.setattr(
        "cluster.run._conduct_to_end", lambda config, *_: conducted.append(revisions(config))
    )
    path = tmp_path / "runs" / "one"
    run_to_end(parse_config(CONTENT, "test"), path)
    folder = RunFolder.existing(path)
    commits = {"policy": "a" * 40, "prompts": "d" * 40}
    assert folder.read_state()["revisions"] == commits
    assert revisions(load_config(folder.config)) == (None, None), "it says what was given"

    hub.commit("b" * 40, main=True)
    hub.dataset_main = "e" * 40
    resume_to_end(path, (), None)
    assert folder.read_state()["revisions"] == commits
    assert conducted == [tuple(commits.values())] * 2
    assert [revisions(each) for each in checked] == conducted
