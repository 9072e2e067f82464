"""The cord: stopping the line, letting it go on, and going back."""

from __future__ import annotations

from pathlib import Path

import click

from cluster.commands.shared import (
    STORED,
    chosen_run,
    newest_run_argument,
    one_line_errors,
    run_argument,
)


@click.group()
def cord() -> None:
    """Stop the line, and let it go on."""


@cord.command()
@newest_run_argument
@click.option("--reason", required=True, help="What is wrong; everybody sees it.")
@one_line_errors
def pull(run: Path | None, reason: str) -> None:
    """Pause the learner of RUN before its next step; rollouts and labels go on.

    RUN is a run's folder; by default the newest under runs/ that is going on.

    Example: andon cord pull runs/demo-1 --reason "it only shouts"
    """
    from cluster.commands.owner_client import OwnerClient
    from cluster.inert_text import inert, shell_word

    path = chosen_run(run)
    with OwnerClient.of_run(path) as client:
        cord = client.pull_cord(reason)
    click.echo(f"the cord is pulled by {inert(cord.pulled_by)}: {inert(cord.reason)}")
    click.echo(f"to go on: andon cord release {shell_word(path)}")


@cord.command()
@newest_run_argument
@click.option("--reason", default="looked into", show_default=True, help="Kept in the ledger.")
@one_line_errors
def release(run: Path | None, reason: str) -> None:
    """Release the oldest reason for which the cord of RUN is pulled.

    With the last reason the learner goes on; what is left is said.

    RUN is a run's folder; by default the newest under runs/ that is going on.

    Example: andon cord release runs/demo-1 --reason "bob is excluded"
    """
    from cluster.commands.owner_client import OwnerClient
    from cluster.inert_text import inert, shell_word

    path = chosen_run(run)
    with OwnerClient.of_run(path) as client:
        cord = client.release_cord(reason)
    if not cord.is_pulled:
        click.echo(f"{path}: the line goes on")
        return
    click.echo(f"{path}: that reason is released, and the line still stands:")
    for each in cord.reasons:
        who = f"guard {each.guard}" if each.guard else each.actor
        click.echo(f"  pulled by {inert(who)}: {inert(each.reason)}")
    click.echo(f"to release the next: andon cord release {shell_word(path)}")


@click.command()
@run_argument
@click.option(
    "--to",
    "to_version",
    type=STORED,
    required=True,
    help="The policy version to restore; one of those in RUN/policy.",
)
@click.option("--reason", required=True, help="Why; it is kept in the ledger.")
@one_line_errors
def rollback(run: Path, to_version: int, reason: str) -> None:
    """Restore policy, critic, optimizer and KL coefficient of an older policy version.

    Pulls the cord if nobody has. The learner makes a new version of the old one, before its next
    step, and drops the rollouts made after; the cord stays pulled until `andon cord release`.

    Example: andon rollback runs/demo-1 --to 40 --reason "bob taught it to shout"
    """
    from cluster.commands.owner_client import OwnerClient
    from cluster.inert_text import shell_word
    from cluster.run_folder import RunFolder
    from protocol.errors import MissingError

    with OwnerClient.of_run(run) as client:
        kept = RunFolder(run).restorable()
        if to_version not in kept:
            raise MissingError(
                f"policy version {to_version} was not kept: take one of "
                f"{', '.join(map(str, kept)) or 'none'}"
            )
        client.roll_back(to_version, reason)
    click.echo(f"{run}: going back to policy version {to_version} before the next step")
    click.echo(f"then, to go on: andon cord release {shell_word(run)}")
