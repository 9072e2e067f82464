"""`--ledger URL` of the commands that begin a run."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from cluster.cli import main
from cluster.commands.exit_codes import EXIT_USER_ERROR
from cluster.config import RunConfig

DEMO = Path(__file__).parents[3] / "cluster/demo.toml"
URL = "postgresql://andon@db.example.org:5432/labels?sslmode=verify-full"
OTHER = "postgresql:///other"
SECRET = "hunter2"
COMMANDS = (("demo",), ("run", str(DEMO)))


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[RunConfig]:
    configs: list[RunConfig] = []

    def run_to_end(config: RunConfig, _: Path | None) -> None:
        configs.append(config)

    monkeypatch.setattr("cluster.run.run_to_end", run_to_end)
    return configs


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_run_keeps_its_labels_where_it_is_told(
    begun: list[RunConfig], command: tuple[str, ...]
) -> None:
    plain = CliRunner().invoke(main, command)
    there = CliRunner().invoke(main, (*command, "--ledger", URL))
    assert (plain.exit_code, there.exit_code) == (0, 0), there.output
    assert [config.labels.ledger_url for config in begun] == ["", URL]


def test_it_is_before_the_config_and_behind_keys_that_are_set(
    begun: list[RunConfig], tmp_path: Path
) -> None:
    config = tmp_path / "run.toml"
    config.write_text(DEMO.read_text().replace("[labels]", f'[labels]\nledger_url = "{OTHER}"'))
    CliRunner().invoke(main, ("run", str(config), "--ledger", URL))
    key = f"labels.ledger_url={OTHER}"
    CliRunner().invoke(main, ("run", str(DEMO), "--ledger", URL, "--set", key))
    assert [config.labels.ledger_url for config in begun] == [URL, OTHER]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize(
    "url",
    ["", "ledger.sqlite", "mysql://db/andon", f"postgresql://ann:{SECRET}@db/andon"],
)
def test_what_is_no_url_of_a_ledger_is_refused_in_one_line(
    begun: list[RunConfig], command: tuple[str, ...], url: str
) -> None:
    result = CliRunner().invoke(main, (*command, "--ledger", url))
    assert result.exit_code == EXIT_USER_ERROR, result.output
    (line,) = result.output.splitlines()
    assert line.startswith("andon: --ledger: want postgresql://USER@HOST:PORT/DATABASE")
    assert SECRET not in line
    assert begun == []
