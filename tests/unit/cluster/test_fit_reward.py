"""`andon fit-reward`, as a user types it; DeepSpeed's place is taken by a plain engine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cluster.cli import main
from cluster.commands.exit_codes import EXIT_USER_ERROR
from cluster.config_file import parse_config, save_config
from cluster.run_folder import RunFolder
from label_queue.ledger.sql import SqlLedger
from reward_service.bundle import load_bundle
from tests.support.hand_made_ledger import fill
from tests.support.labels import make_assignment, make_event, make_query
from tests.support.plain_engine import PlainEngine
from tests.support.tiny_model import save_tiny_model


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("policy"))


@pytest.fixture
def run(policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    """A run that goes on."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("learners.reward_fit.Engine", PlainEngine)
    monkeypatch.setattr("cluster.alone.fit_reward.join_ranks", lambda *_: None)
    folder = RunFolder.create(Path("runs/demo-1"))
    folder.update_state(state="running", policy_path=str(policy))
    content = {"people": ["ann"], "policy": {"path": "moved"}, "prompts": {}}
    save_config(parse_config(content, "test"), folder.config)
    return folder


@pytest.fixture(autouse=True)
def ledger(run: RunFolder) -> Iterator[SqlLedger]:
    """Its ledger, open for writing."""
    made = SqlLedger.open(run.ledger, "demo-1")
    fill(made)
    yield made
    made.close()


def andon(*arguments: str) -> Result:
    return CliRunner().invoke(main, ("fit-reward", *arguments))


def refused(*arguments: str) -> str:
    result = andon(*arguments)
    assert result.exit_code == EXIT_USER_ERROR, result.output
    (line,) = result.output.splitlines()
    return line.removeprefix("andon: ")


def test_a_live_run_is_fitted_judged_and_written_down(run: RunFolder) -> None:
    before = run.ledger.read_bytes()
    result = andon("runs/demo-1")
    assert result.exit_code == 0, result.output
    figures = json.loads(Path("fits/run-1-11/fit.json").read_text())
    held, fitted = figures["held_out"]["comparisons"], figures["training"]["comparisons"]
    assert held + fitted == 11
    assert held > 0
    assert (figures["until_seq"], figures["agreement"]) == (11, None)
    assert figures["held_out"]["chance"] == 0.25
    lines = result.output.splitlines()
    assert lines[0].startswith(f"fitted      {fitted} labels up to event 11, 2 labelers, in ")
    assert lines[2].startswith(f"held out    {held} labels: accuracy ")
    assert lines[3] == "ceiling     not known: no query was answered by two labelers"
    assert lines[-1] == "figures     fits/run-1-11/fit.json"
    bundle = load_bundle(Path(figures["bundle"]))
    assert Path(figures["bundle"]).is_absolute()
    assert (bundle.version.version, bundle.version.sha256) == (1, figures["sha256"])
    assert run.ledger.read_bytes() == before


def test_the_same_ledger_gives_the_same_bits(run: RunFolder) -> None:
    ledger, config = "runs/demo-1/ledger.sqlite", ("--config", "runs/demo-1")
    first = json.loads(andon(ledger, *config, "--until-seq", "8", "--json").output)
    again = json.loads(andon("runs/demo-1", "--until-seq", "8", "--json").output)
    assert first["sha256"] == again["sha256"]
    assert Path(again["bundle"]).parent.name == "run-1-8.2"
    other = json.loads(andon("runs/demo-1", "--json", "--set", "reward_fit.lr=1e-3").output)
    assert other["sha256"] != first["sha256"]


def test_on_all_labels_nothing_judges_it(run: RunFolder) -> None:
    result = andon("runs/demo-1", "--validation-share", "0", "--out", "all")
    assert "held out    none: what is learned cannot be told" in result.output
    assert json.loads(Path("all/fit.json").read_text())["held_out"] is None


def test_what_is_not_there_is_named_with_its_mend(run: RunFolder, policy: Path) -> None:
    assert refused("nowhere").startswith("LEDGER: nowhere is not a file; name a ledger.sqlite")
    assert "config nowhere is not a file" in refused("runs/demo-1", "--config", "nowhere")
    assert "--until-seq" in refused("runs/demo-1", "--until-seq", "12")
    andon("runs/demo-1", "--out", "once")
    assert refused("runs/demo-1", "--out", "once") == (
        "once already holds a fit; name another folder with --out"
    )
    before = run.config.read_bytes()
    assert refused("runs/demo-1", "--out", "runs/demo-1", "--set", "run.name=other") == (
        "runs/demo-1 already holds a run; name another folder with --out"
    )
    assert run.config.read_bytes() == before
    run.config.unlink()
    assert "so nothing says how to fit" in refused("runs/demo-1")


def test_a_base_model_that_was_not_made_is_asked_for(run: RunFolder) -> None:
    run.update_state(policy_path=None)
    content = {"people": ["ann"], "base_model": {}, "prompts": {"source": "reviews"}}
    save_config(parse_config(content, "test"), run.config)
    assert refused("runs/demo-1").startswith(
        "base_model: none of this recipe was made under runs/: run the config once, or name"
    )


def test_with_no_response_of_the_starting_policy_texts_must_normalise(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("label_queue.fitting.from_ledger._reference", lambda *_: ())
    assert "set reward_model.normalisation_path" in refused("runs/demo-1")


def test_marks_on_other_words_than_the_policy_reads_are_refused_where_a_fit_learns_marks(
    run: RunFolder, ledger: SqlLedger
) -> None:
    """People saw a text whose tokens the policy reads as another."""
    query = make_query(11, versions=(0,) * 4)
    name = query.candidates[2].candidate_id
    marked = make_event(query, spans=((name, 0, 3, "good"),))
    ledger.write([query, make_assignment(query), marked])
    without = andon("runs/demo-1", "--out", "without", "--validation-share", "0")
    assert without.exit_code == 0, without.output
    said = refused("runs/demo-1", "--validation-share", "0", "--set", "reward_model.marks={}")
    assert said.startswith(f"runs/demo-1/ledger.sqlite: the label at seq 12 marks words of {name}")
    assert "leave out [reward_model.marks]" in said
