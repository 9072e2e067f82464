"""What all commands share: how errors are shown, and which run is meant."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import ParamSpec

import click

from cluster.commands.exit_codes import EXIT_INTERRUPTED, EXIT_USER_ERROR, exit_code_of
from cluster.failure import first_cause
from cluster.inert_text import is_utf8, one_line
from cluster.interrupted import Interrupted
from protocol.errors import InputError
from protocol.limits import LARGEST_STORED

P = ParamSpec("P")

WAIT_S = click.FloatRange(0, 1e9)
"""Seconds to wait; with `refuse_nan`."""
STORED = click.IntRange(0, LARGEST_STORED)
"""A sequence number of the ledger, or a version."""


def refuse_nan(
    _context: click.Context, _parameter: click.Parameter, value: float | None
) -> float | None:
    """Refuse NaN, which is in every range of click's; with it no waiting would ever end."""
    if value is not None and math.isnan(value):
        raise click.BadParameter("want a number, not NaN")
    return value


run_argument = click.argument("run", type=click.Path(path_type=Path))
newest_run_argument = click.argument("run", type=click.Path(path_type=Path), required=False)
run_option = click.option(
    "--run",
    type=click.Path(path_type=Path),
    help="The run's folder. Default: the newest under runs/ that is going on.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


reason_option = click.option("--reason", required=True, help="Why; it is kept in the ledger.")


def in_columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows of plain text as lines whose columns stand below each other."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def one_line_errors(command: Callable[P, None]) -> Callable[P, None]:
    """Show an error of our own as one line, and let every other be seen whole."""

    @wraps(command)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            _refuse_other_bytes(kwargs)
            command(*args, **kwargs)
        except KeyboardInterrupt as error:
            click.echo("andon: stopped", err=True)
            sys.exit(error.exit_code if isinstance(error, Interrupted) else EXIT_INTERRUPTED)
        except click.Abort as error:  # click's own, of a question that was not answered
            if not isinstance(error.__context__, EOFError):
                click.echo("andon: stopped", err=True)
                sys.exit(EXIT_INTERRUPTED)
            click.echo("andon: nobody answered: give --yes where nobody can", err=True)
            sys.exit(EXIT_USER_ERROR)
        except (Exception, BaseExceptionGroup) as error:
            # What a part raises while it is closed may hide ours, which is then its context.
            cause = first_cause(error)
            if cause is None:
                raise
            click.echo(f"andon: {one_line(str(cause))}", err=True)
            sys.exit(exit_code_of(cause))

    return guarded


def _refuse_other_bytes(arguments: Mapping[str, object]) -> None:
    """Refuse texts that are not UTF-8: nobody could be called so, and no reason be shown.

    A path may hold any bytes; whoever opens it says what it takes.

    Raises:
        InputError: There is one; names the argument.
    """
    for name, given in arguments.items():
        for text in given if isinstance(given, tuple) else (given,):
            if isinstance(text, str) and not is_utf8(text):
                raise InputError(
                    f"{_as_typed(name)} {text!a} is not UTF-8 text: write it anew, in a "
                    "terminal whose encoding is UTF-8"
                )


def _as_typed(name: str) -> str:
    """Return how a person names an argument of the command that runs."""
    context = click.get_current_context(silent=True)
    if context is None:
        return name
    parameter = next(each for each in context.command.params if each.name == name)
    is_option = isinstance(parameter, click.Option)
    return parameter.opts[0] if is_option else parameter.make_metavar(context)


def chosen_run(run: Path | None) -> Path:
    """Return the run that is meant: the one named, or the newest that is going on.

    Raises:
        MissingError: None was named, and none is going on.
    """
    if run is not None:
        return run
    from cluster.watching.status import newest_running

    return newest_running(Path("runs"))
