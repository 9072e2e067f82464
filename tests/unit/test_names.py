"""One rule for names, and every door by it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from cluster.config_file import parse_config
from label_queue.connector_config import JsonlConfig
from label_queue.intake.owner_schemas import NewLabeler
from protocol.errors import ConfigError, InputError
from protocol.names import (
    LONGEST_IDENTIFIER,
    LONGEST_RUN_ID,
    RESERVED_NAMES,
    is_labeler_id,
    is_run_id,
    run_id_of,
)
from tests.support.odd_names import ODD_NAMES

GOOD = ("a", "7", "ann", "Ann.B_c-d", "ann@example.org", "label_studio:7", "a+b", "a" * 64)
BAD = ("", ".a", "-a", "a b", "a/b", "a\n", "ä", "a" * 65, "a#", "a\0", "\ud800")


def config_of(**changes: Any) -> Any:
    content = {"people": ["me"], "policy": {"path": "m"}, "prompts": {}, "labels": {}}
    return parse_config({**content, **changes}, "test")


def person(name: str) -> None:
    config_of(people=[name])


def simulated(name: str) -> None:
    config_of(people=[], labelers=[{"name": name}])


def admitted(name: str) -> None:
    NewLabeler(labeler_id=name)


def mapped(name: str) -> None:
    JsonlConfig(kind="jsonl", path=Path("x"), labelers={"7": name})


DOORS = (person, simulated, admitted, mapped)


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("name", GOOD)
def test_every_door_admits_whom_the_rule_does(door: Any, name: str) -> None:
    assert is_labeler_id(name)
    door(name)


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("name", BAD, ids=ascii)
def test_no_door_admits_anybody_else(door: Any, name: str) -> None:
    assert not is_labeler_id(name)
    with pytest.raises((ConfigError, ValidationError)):
        door(name)


@pytest.mark.parametrize("door", [person, simulated, mapped])
@pytest.mark.parametrize("name", sorted(RESERVED_NAMES))
def test_no_labeler_is_called_as_what_acts_in_a_ledger(door: Any, name: str) -> None:
    with pytest.raises((ConfigError, ValidationError), match="the run itself uses that name"):
        door(name)


@pytest.mark.parametrize("name", [*ODD_NAMES, "n" * 255, "é" * 127], ids=ascii)
def test_every_folder_has_an_id_that_all_inner_parts_take(tmp_path: Path, name: str) -> None:
    found = run_id_of(tmp_path / name)
    assert is_run_id(found)
    assert found == run_id_of(tmp_path / "elsewhere" / name)
    assert len(f"{found}-RewardReplica") <= LONGEST_IDENTIFIER


def test_a_name_that_can_be_an_id_is_one() -> None:
    assert run_id_of(Path("runs/demo-1.2")) == "demo-1.2"
    assert run_id_of(Path("runs") / ("r" * LONGEST_RUN_ID)) == "r" * LONGEST_RUN_ID


def test_other_names_get_ids_of_their_own() -> None:
    names = ("a b", "a#b", "a?b", "ä", "ö", "r" * 97, "r" * 98)
    ids = {name: run_id_of(Path(name)) for name in names}
    assert len(set(ids.values())) == len(names)
    assert ids["a b"] == "a-b-c8687a08"
    assert ids["ä"].startswith("run-")


def test_the_folder_one_stands_in_has_its_own_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "mine-7"
    folder.mkdir()
    monkeypatch.chdir(folder)
    assert [run_id_of(Path(each)) for each in (".", "", "../mine-7", "x/..")] == ["mine-7"] * 4


@pytest.mark.parametrize("path", ["/", "a\0b", "a\udcff"], ids=ascii)
def test_what_can_be_no_run_s_folder_is_said(path: str) -> None:
    with pytest.raises(InputError, match=r"has no name to call|not a path for a run"):
        run_id_of(Path(path))


@pytest.mark.parametrize("name", ["", "a b", "../x", "a" * 65, "-a"])
def test_a_config_s_name_of_the_run_is_checked(name: str) -> None:
    with pytest.raises(ConfigError, match=r"run\.name: want at most 64 letters"):
        config_of(run={"name": name})
