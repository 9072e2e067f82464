"""What is going on, and whether this machine will do."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from cluster.commands.exit_codes import EXIT_FAILED
from cluster.commands.shared import (
    json_option,
    newest_run_argument,
    one_line_errors,
)


@click.command()
@newest_run_argument
@json_option
@one_line_errors
def inspect(run: Path | None, as_json: bool) -> None:
    """Say who waits for what in RUN, process by process, right now.

    RUN is a run's folder; by default the newest under runs/ that is going on. Works also where the
    run hangs, is dead or has ended: its driver writes inspect.json once a second, with the time.
    Exit code 0 where the run goes on or has ended, 1 where it is silent, dead or failed.

    Example: andon inspect runs/demo-1
    """
    from cluster.commands.shared import chosen_run
    from cluster.watching.inspected import describe
    from cluster.watching.inspected import inspect as look

    found = look(chosen_run(run))
    if as_json:
        picture = None if found.picture is None else found.picture.model_dump(mode="json")
        told = {"run": found.state, "silent_s": found.silent_s, "picture": picture}
        click.echo(json.dumps(told, indent=2, sort_keys=True))
    else:
        click.echo(describe(found))
    if not found.is_well:
        sys.exit(EXIT_FAILED)


@click.command()
@click.option("--quick", is_flag=True, help="Leave out what starts processes: Ray and vLLM.")
@click.option(
    "--folder",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    default=Path(),
    help="Where runs will be: its disk is looked at. Default: here.",
)
@json_option
@one_line_errors
def doctor(quick: bool, folder: Path, as_json: bool) -> None:
    """Say whether this machine will do, line by line, and how to mend what will not.

    Looks at versions, memory, threads, ports, disk, SQLite and GPU; then starts Ray, and asks vLLM
    and the trainer for the log-probabilities of a tiny model made on the spot. Exit code 0, or 1
    where something would keep runs from working; a warning keeps nobody from anything.

    Example: andon doctor --quick
    """
    from dataclasses import asdict

    from cluster.doctor.examination import examine

    findings = []
    for finding in examine(folder, is_quick=quick):
        findings.append(finding)
        if not as_json:
            click.echo(str(finding))
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    if any(finding.verdict == "failure" for finding in findings):
        sys.exit(EXIT_FAILED)
