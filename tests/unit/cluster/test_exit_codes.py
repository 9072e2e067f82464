"""What a command ends with is what `docs/EXIT_CODES.md` says."""

from __future__ import annotations

import inspect
import re
import signal
from pathlib import Path

import pytest
from click.testing import CliRunner

from cluster.cli import main
from cluster.commands.exit_codes import TABLE, exit_code_of
from cluster.interrupted import Interrupted
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
