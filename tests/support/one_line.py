"""What a person sees of a mistake: one line that names it, and no traceback."""

from __future__ import annotations

from collections.abc import Sequence

from click.testing import CliRunner

from cluster.cli import main
from cluster.commands.exit_codes import EXIT_DONE, TABLE


def refusal(arguments: Sequence[str], stdin: str | None = None) -> str:
    """Run `andon ARGUMENTS`, which must be refused, and return what it says after "andon: "."""
    result = CliRunner().invoke(main, arguments, input=stdin)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise AssertionError(f"andon {arguments}: a traceback") from result.exception
    assert result.exit_code in {line.code for line in TABLE} - {EXIT_DONE}, result.output
    (line,) = result.stderr.splitlines()
    assert line.startswith("andon: "), line
    assert line.isprintable()
    return line.removeprefix("andon: ")


def refusal_or_success(arguments: Sequence[str]) -> str | None:
    """Run `andon ARGUMENTS`: it must succeed, then None is returned, or be refused in one line."""
    result = CliRunner().invoke(main, arguments)
    return None if result.exit_code == 0 and result.exception is None else refusal(arguments)
