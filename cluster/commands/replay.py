"""Running one part of a recorded run alone."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import click

from cluster.commands.exit_codes import EXIT_FAILED
from cluster.commands.shared import (
    STORED,
    one_line_errors,
    run_argument,
)

PART_NAMES = ("learner", "reward-trainer", "reward-service", "label-queue", "rollouts")
"""As in `cluster.replay.parts`, which is not imported before it is needed."""


def _refuse_none(
    _context: click.Context, _parameter: click.Parameter, value: float | None
) -> float | None:
    if value is not None and not (math.isfinite(value) and value >= 0):
        raise click.BadParameter("want a finite number, 0 or more")
    return value


@click.command()
@run_argument
@click.option("--part", type=click.Choice(PART_NAMES), required=True, help="Which part is run.")
@click.option(
    "--from",
    "first",
    type=STORED,
    default=0,
    show_default=True,
    help="The version to begin at: of the policy for learner and rollouts, else of the reward.",
)
@click.option("--until", "last", type=STORED, help="The last version compared. Default: all.")
@click.option("--diff", is_flag=True, help="Say how the first message that differs does so.")
@click.option(
    "--tolerance",
    type=float,
    callback=_refuse_none,
    help="By which floats may be apart. Default: 0 (bit for bit) for learner, reward-trainer and "
    "label-queue, 1e-5 for reward-service, 1e-4 for rollouts.",
)
@one_line_errors
def replay(
    run: Path, part: str, first: int, last: int | None, diff: bool, tolerance: float | None
) -> None:
    """Run one part of the recorded run in folder RUN alone, and compare its answers.

    The run must have recorded what crosses that part: set recording.record in its config. Learner:
    "batches"; reward-trainer and label-queue: "labels"; reward-service: "scores"; rollouts:
    "rollouts". No cluster is needed, and nothing is written into RUN.

    Exit status: 0 where all is as recorded, 1 where something differs, 2 where it cannot be
    replayed.

    Example: andon replay runs/demo-1 --part learner --from 40 --diff
    """
    from cluster.inert_text import inert
    from cluster.replay.outcome import Findings, Window
    from cluster.replay.parts import PARTS
    from cluster.replay.recording import Recording
    from protocol.errors import ConfigError, InputError

    if last is not None and last < first:
        raise ConfigError(f"--until {last} lies before --from {first}: name a later version")
    recording = Recording.of(run, caches=(Path("runs"), run.absolute().parent))
    chosen = PARTS[part]
    allowed = chosen.tolerance if tolerance is None else tolerance
    found = Findings.of(chosen.load()(recording, Window(first=first, last=last), allowed))
    if not found.num_compared:
        why = "; ".join(f"{count}: {reason}" for reason, count in found.skipped.items())
        raise InputError(
            f"{run}: nothing of what the {part} did in these versions can be replayed "
            f"({why or 'there is no record of any'}): name others with --from and --until"
        )
    how = "bit for bit" if allowed == 0 else f"within {allowed:g}"
    first_line, *rest = found.in_words(with_difference=diff)
    for line in (f"{part}: {first_line}, {how}", *rest):
        click.echo(inert(line))
    if found.num_different:
        sys.exit(EXIT_FAILED)
