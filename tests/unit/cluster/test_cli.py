"""What a user sees of an error."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from cluster.cli import main
from cluster.commands.exit_codes import EXIT_INTEGRITY, EXIT_USER_ERROR
from protocol.errors import InputError, LoopEnded


def failing_run(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def fail(*_: object) -> None:
        try:
            raise error
        finally:
            raise AttributeError("raised by a part while it was closed")

    monkeypatch.setattr("cluster.run.run_to_end", fail)


@pytest.mark.parametrize(
    ("error", "code"),
    [(InputError("no such cut token"), EXIT_USER_ERROR), (LoopEnded("it died"), EXIT_INTEGRITY)],
)
def test_our_error_is_one_line_whatever_closing_raised_after_it(
    monkeypatch: pytest.MonkeyPatch, error: Exception, code: int
) -> None:
    failing_run(monkeypatch, error)
    result = CliRunner().invoke(main, ["demo"])
    assert (result.exit_code, result.output) == (code, f"andon: {error}\n")


def test_an_error_that_is_not_ours_is_seen_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    failing_run(monkeypatch, ZeroDivisionError())
    result = CliRunner().invoke(main, ["demo"])
    assert isinstance(result.exception, AttributeError)
