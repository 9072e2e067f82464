"""What a command ends with is what `docs/EXIT_CODES.md` says."""

from __future__ import annotations

import inspect
import re
import signal
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from cluster.cli import main
from cluster.commands.exit_codes import EXIT_USER_ERROR, TABLE, exit_code_of
from cluster.interrupted import Interrupted
from cluster.run_folder import RunFolder
from protocol import errors
from protocol.errors import (
    ActorDied,
    AndonError,
    ConfigError,
    DiskFull,
    EngineDied,
    LabelConflict,
    LoopStarved,
    MemoryShort,
    NotFinite,
    ProbeMismatch,
    PromptsExhausted,
    ResourceError,
)

DOCUMENT = Path(__file__).parents[3] / "docs" / "EXIT_CODES.md"
LINE = re.compile(r"^\| (\d+) \| ([a-z ]+) \|", re.MULTILINE)

ENDS = [
    (ConfigError("ppo.lr: no"), 2),
    (ResourceError("port 8000 is in use"), 2),
    (ProbeMismatch("other weights"), 3),
    (NotFinite("a loss is NaN"), 3),
    (ActorDied("the learner died"), 4),
    (EngineDied("the engine died"), 4),
    (DiskFull("metrics.jsonl: its disk is full"), 5),
    (MemoryShort("the learner ran out of memory"), 6),
    (PromptsExhausted("3 of 8 prompts"), 7),
    (LoopStarved("nothing has come"), 8),
    (LabelConflict("a rollback is under way"), 1),
]


def ends_with(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> tuple[int, str]:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("cluster.run.run_to_end", fail)
    result = CliRunner().invoke(main, ["demo"])
    return result.exit_code, result.stderr


def test_the_document_has_every_code_and_no_other() -> None:
    documented = {int(code): name for code, name in LINE.findall(DOCUMENT.read_text("utf-8"))}
    assert documented == {line.code: line.name for line in TABLE}


@pytest.mark.parametrize(("error", "code"), ENDS, ids=lambda each: type(each).__name__)
def test_an_error_ends_with_its_code_and_one_line(
    monkeypatch: pytest.MonkeyPatch, error: AndonError, code: int
) -> None:
    assert ends_with(monkeypatch, error) == (code, f"andon: {error}\n")


def test_every_code_that_an_error_of_ours_has_is_tried() -> None:
    assert {code for _, code in ENDS} == {line.code for line in TABLE if line.raised is not None}


def test_every_error_of_ours_has_a_code() -> None:
    for _, kind in inspect.getmembers(errors, inspect.isclass):
        if issubclass(kind, AndonError):
            assert exit_code_of(kind("it")) in {line.code for line in TABLE}


def test_an_interruption_and_a_fault_of_andons_own(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ends_with(monkeypatch, KeyboardInterrupt()) == (130, "andon: stopped\n")
    for number, code in ((signal.SIGHUP, 129), (signal.SIGINT, 130), (signal.SIGTERM, 143)):
        assert ends_with(monkeypatch, Interrupted(number)) == (code, "andon: stopped\n")
    assert ends_with(monkeypatch, ZeroDivisionError()) == (1, "")


def test_what_succeeds_ends_with_0(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cluster.run.run_to_end", lambda *_: None)
    assert CliRunner().invoke(main, ["demo"]).exit_code == 0


@pytest.mark.parametrize(
    "arguments",
    [[], ["labelers"], ["nosuch"], ["run"], ["plan", "--gpus", "x", "c.toml"], ["status", "--x"]],
    ids=" ".join,
)
def test_a_command_line_that_is_none_is_told_of_by_its_usage(arguments: list[str]) -> None:
    result = CliRunner().invoke(main, arguments)
    assert (result.exit_code, result.stdout) == (EXIT_USER_ERROR, "")
    assert result.stderr.startswith("Usage: ")
    if arguments and arguments != ["labelers"]:
        assert result.stderr.splitlines()[-1].startswith("Error: ")


PLANNED = ["plan", str(Path(__file__).parents[3] / "cluster" / "demo.toml")]


def test_a_plan_ends_with_whether_it_fits_and_says_nothing_else() -> None:
    for more, code in (["--host-gib", "64"], 0), (["--host-gib", "0.01"], 1):
        result = CliRunner().invoke(main, [*PLANNED, *more])
        assert (result.exit_code, result.stderr) == (code, "")
    wrong = CliRunner().invoke(main, [*PLANNED, "--set", "ppo.lr=-1"])
    assert (wrong.exit_code, wrong.stdout) == (EXIT_USER_ERROR, "")


@pytest.mark.parametrize(
    ("state", "code"),
    [("running", 1), ("failed", 1), ("finished", 0), ("stopped", 0)],
    ids=["dead", "failed", "finished", "stopped"],
)
def test_inspect_ends_with_whether_a_run_is_well(running: RunFolder, state: str, code: int) -> None:
    running.update_state(state=state, pid=2**22, pid_started_at=0.0)
    result = CliRunner().invoke(main, ["inspect", str(running.path)])
    assert (result.exit_code, result.stderr) == (code, "")


def test_a_question_that_nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    def ask(*_: object) -> None:
        click.confirm("exclude?", err=True)

    monkeypatch.setattr("cluster.run.run_to_end", ask)
    unanswered = CliRunner().invoke(main, ["demo"], input="")
    assert unanswered.exit_code == EXIT_USER_ERROR
    assert unanswered.stderr.endswith("andon: nobody answered: give --yes where nobody can\n")

    def interrupt(*_: object) -> None:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:  # as click does
            raise click.Abort from None

    monkeypatch.setattr("cluster.run.run_to_end", interrupt)
    interrupted = CliRunner().invoke(main, ["demo"])
    assert (interrupted.exit_code, interrupted.stderr) == (130, "andon: stopped\n")
