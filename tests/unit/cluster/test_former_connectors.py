"""What a run's connectors were is known over all its resumptions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cluster.config_file import load_config, parse_config
from cluster.run import resume_to_end, run_to_end
from cluster.run_folder import RunFolder
from protocol.errors import ConfigError, InputError

FILE = '{kind = "jsonl", name = "NAME", path = "/a/answers.jsonl"}'
STREAM = '{kind = "redis", name = "NAME", url = "redis://db", stream = "labels"}'


@pytest.fixture
def begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run with "north", as far as its folder tells; nothing is started."""
    for name in ("prepare_environment", "check_before_start", "_conduct_to_end"):
        monkeypatch.setattr(f"cluster.run.{name}", lambda *_: None)
    tool = {"kind": "jsonl", "name": "north", "path": "/a/answers.jsonl"}
    content = {
        "prompts": {"source": "reviews"},
        "policy": {"path": "model"},
        "people": ["ann"],
        "labels": {"connectors": [tool]},
    }
    run_to_end(parse_config(content, "test"), tmp_path / "one")
    return tmp_path / "one"


def resume(path: Path, *connectors: tuple[str, str]) -> None:
    given = ", ".join(text.replace("NAME", name) for text, name in connectors)
    resume_to_end(path, (f"labels.connectors=[{given}]",), None)


def names(path: Path) -> list[str]:
    return [each.name for each in load_config(RunFolder(path).config).labels.connectors]


def test_a_connector_that_was_left_out_comes_back_by_its_name_alone(begun: Path) -> None:
    resume(begun)
    resume(begun, (STREAM, "west"))
    resume(begun)
    with pytest.raises(ConfigError, match=r"answers\.jsonl must stay 'north', not 'south'"):
        resume(begun, (FILE, "south"))
    with pytest.raises(ConfigError, match="labels at redis://db must stay 'west', not 'north'"):
        resume(begun, (STREAM, "north"))
    with pytest.raises(ConfigError, match="kind of 'west' must stay 'redis'"):
        resume(begun, (FILE.replace("answers", "other"), "west"))
    assert names(begun) == []
    resume(begun, (FILE, "north"), (STREAM, "west"))
    assert names(begun) == ["north", "west"]


def test_each_is_noted_once(begun: Path) -> None:
    for _ in range(3):
        resume(begun, (FILE.replace("}", ", sweep_s = 9.0}"), "north"), (STREAM, "west"))
    noted = RunFolder(begun).read_state()["connectors"]
    assert [each["name"] for each in noted] == ["north", "west"]


def test_what_run_json_says_of_them_is_checked(begun: Path) -> None:
    resume(begun)
    state = RunFolder(begun).state
    said = json.loads(state.read_text())
    state.write_text(json.dumps({**said, "connectors": [{**said["connectors"][0], "name": "N"}]}))
    with pytest.raises(InputError, match=r"run\.json is not as a run writes it \(connectors\.0"):
        resume(begun)
