"""Who labels: opening the page, letting people in, and taking their labels back."""

from __future__ import annotations

import getpass
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cluster.commands.people_words import in_words, table_of, ways_in, with_article
from cluster.commands.shared import (
    STORED,
    chosen_run,
    in_columns,
    json_option,
    newest_run_argument,
    one_line_errors,
    reason_option,
    run_option,
)

if TYPE_CHECKING:
    from cluster.commands.ended_run import EndedRun
    from cluster.commands.owner_client import OwnerClient
    from label_queue.ledger.records import Role
    from label_queue.oversight.exclusion import Act
    from label_queue.quality.assessment import Assessment

ROLES = click.Choice(["labeler", "observer", "owner"])
yes_option = click.option("--yes", is_flag=True, help="Do not ask whether to go on.")


@click.command()
@newest_run_argument
@click.option("--as", "name", help="Who labels. Default: your user name.")
@click.option("--owner", is_flag=True, help="Open the owner's page instead.")
@click.option("--no-open", is_flag=True, help="Only print the link.")
@one_line_errors
def label(run: Path | None, name: str | None, owner: bool, no_open: bool) -> None:
    """Open the labelling page of RUN in a browser, by a link that works once.

    RUN is a run's folder; by default the newest under runs/ that is going on.

    Example: andon label runs/demo-1 --as ann
    """
    from cluster.commands.owner_client import OwnerClient
    from cluster.run_folder import OWNER

    with OwnerClient.of_run(chosen_run(run)) as client:
        if owner:
            admission = client.admit(OWNER, "owner")
        else:
            admission = client.admit(_labeler(name or _user_name()), None)
        link = client.link_of(admission)
    click.echo(link)
    if not no_open:
        webbrowser.open(link)


@click.group()
def labelers() -> None:
    """See and decide who labels a run, and whose labels count."""


@labelers.command()
@click.argument("name")
@click.option("--role", type=ROLES, help="Default: the one they have; a labeler's if new.")
@click.option("--judge", "judges", is_flag=True, help="None of their labels ever trains.")
@run_option
@one_line_errors
def add(name: str, role: Role | None, judges: bool, run: Path | None) -> None:
    """Let NAME in: print a link that works once, and a token for programs.

    Somebody who is in already gets another link and token; those before stay good. An observer
    sees the owner's page, and does nothing. A judge compares the policy with the base model, and
    nothing else; only somebody who has given no label can become one, and stays one.

    Example: andon labelers add ann --run runs/demo-1
    """
    from cluster.commands.owner_client import OwnerClient

    with OwnerClient.of_run(chosen_run(run)) as client:
        admission = client.admit(_labeler(name), role, judges=judges)
        click.echo(f"link   {client.link_of(admission)}  (works once)")
    click.echo(f"token  {admission.token}  (shown this once)")


@labelers.command(name="list")
@run_option
@json_option
@one_line_errors
def list_labelers(run: Path | None, as_json: bool) -> None:
    """List all labelers with their state and quality, of a run that goes on or has ended.

    Example: andon labelers list --run runs/demo-1
    """
    import json
    from dataclasses import asdict

    path = chosen_run(run)
    with _owner_of(path) as owner:
        rows = _rows(owner)
    if as_json:
        click.echo(json.dumps([asdict(row) for row in rows], indent=2))
        return
    for line in table_of(rows):
        click.echo(line)


@labelers.command()
@click.argument("name")
@click.option(
    "--from",
    "from_seq",
    type=STORED,
    default=0,
    help="Only labels with this ledger sequence number or a later one. Default: all.",
)
@reason_option
@yes_option
@run_option
@one_line_errors
def exclude(name: str, from_seq: int, reason: str, yes: bool, run: Path | None) -> None:
    """Leave NAME's labels out of every fit from now on. `undo` takes it back.

    Above 2 % of a fit's weight the reward is refitted at once, without them.

    Example: andon labelers exclude bob --from 412 --reason "clicks without reading"
    """
    path = chosen_run(run)
    with _owner_of(path) as owner:
        if not _is_news(_row(owner, name), "exclude", from_seq):
            click.echo(f"{name} is excluded so already: nothing was changed")
            return
        changes = owner.preview(name, "exclude", from_seq)
        click.echo(in_words(f"excluding {name}", changes))
        if not yes and not click.confirm("exclude?"):
            click.echo("nothing was changed")
            return
        owner.exclude(name, from_seq, reason)
        click.echo(f"{name} is excluded{_when(owner)}")


@labelers.command()
@click.argument("name")
@reason_option
@yes_option
@run_option
@one_line_errors
def reinstate(name: str, reason: str, yes: bool, run: Path | None) -> None:
    """Let NAME's labels count again, after an exclusion, a suspension or a question.

    Example: andon labelers reinstate bob --reason "it was a mistake"
    """
    path = chosen_run(run)
    with _owner_of(path) as owner:
        row = _row(owner, name)
        if not _is_news(row, "reinstate"):
            click.echo(f"{name} is in good standing: nothing was changed")
            return
        if row is not None and row.state in ("excluded", "questioned", "suspended"):
            click.echo(in_words(f"reinstating {name}", owner.preview(name, "reinstate")))
        if not yes and not click.confirm("reinstate?"):
            click.echo("nothing was changed")
            return
        owner.reinstate(name, reason)
        click.echo(f"{name} is reinstated{_when(owner)}")


@labelers.command()
@click.argument("name")
@reason_option
@yes_option
@run_option
@one_line_errors
def undo(name: str, reason: str, yes: bool, run: Path | None) -> None:
    """Take the newest exclusion or reinstatement of NAME back, as if it had not been.

    What held their labels before it holds them again. `reinstate` lifts that, too.

    Example: andon labelers undo bob --reason "the wrong person"
    """
    path = chosen_run(run)
    with _owner_of(path) as owner:
        row = _row(owner, name)
        if row is None or row.undoable is None:
            click.echo(f"of {name} there is nothing to undo: nothing was changed")
            return
        click.echo(in_words(f"undoing it for {name}", owner.preview(name, "undo")))
        if not yes and not click.confirm("undo it?"):
            click.echo("nothing was changed")
            return
        owner.undo(name, row.undoable, reason)
        click.echo(f"it is undone for {name}{_when(owner)}")


@labelers.command()
@click.option("--search", default="", help="Only names with this in them.")
@run_option
@json_option
@one_line_errors
def access(search: str, run: Path | None, as_json: bool) -> None:
    """List who may come in, in which role, and by what.

    Links, tokens and sessions that count have a line each, with their id for `revoke --token`.

    Example: andon labelers access --run runs/demo-1
    """
    import json
    from dataclasses import asdict

    from cluster.commands.owner_client import OwnerClient

    with OwnerClient.of_run(chosen_run(run)) as client:
        people = client.people(search)
    if as_json:
        click.echo(json.dumps([asdict(each) for each in people], indent=2))
        return
    head = ("person", "role", "by", "id", "made", "made by", "last used")
    cells = [cell for each in people for cell in ways_in(each)]
    for line in in_columns([head, *cells]):
        click.echo(line)


@labelers.command()
@click.argument("name")
@click.argument("role", type=ROLES)
@reason_option
@run_option
@one_line_errors
def role(name: str, role: Role, reason: str, run: Path | None) -> None:
    """Give NAME another ROLE, by whatever they come, from their next request on.

    Example: andon labelers role ann observer --reason "labelled enough"
    """
    from cluster.commands.owner_client import OwnerClient

    with OwnerClient.of_run(chosen_run(run)) as client:
        changed = client.change_role(name, role, reason)
    click.echo(f"{changed.labeler_id} is {with_article(changed.role)} now")


@labelers.command()
@click.argument("name")
@click.option("--token", "token_id", help="Only the one of this id; see `andon labelers access`.")
@reason_option
@run_option
@one_line_errors
def revoke(name: str, token_id: str | None, reason: str, run: Path | None) -> None:
    """Void all tokens, links and sessions of NAME, or one. Their labels stay and count.

    Example: andon labelers revoke bob --reason "lost their laptop"
    """
    from cluster.commands.owner_client import OwnerClient

    with OwnerClient.of_run(chosen_run(run)) as client:
        if token_id is not None:
            left = len(client.revoke_token(name, token_id, reason).ways_in)
            click.echo(f"{token_id} lets nobody in any more; left to {name}: {left}")
            return
        client.revoke(name, reason)
    click.echo(f"{name} can no longer come in; `andon labelers add {name}` lets them in again")


def _user_name() -> str:
    """Return who is at the keyboard, as the system calls them."""
    from protocol.errors import InputError

    try:
        return getpass.getuser()
    except (KeyError, OSError) as error:  # in a container a user may have a number alone
        raise InputError("this user has no name here: give one with --as NAME") from error


def _labeler(name: str) -> str:
    """Return a labeler's name unless it is one of those the run itself uses."""
    from protocol.errors import InputError
    from protocol.names import refuse_reserved

    try:
        return refuse_reserved(name)
    except ValueError as error:
        raise InputError(str(error)) from error


def _owner_of(run: Path) -> OwnerClient | EndedRun:
    """Return the owner's hand on a run: over HTTP while it goes on, else in its ledger."""
    from cluster.commands.ended_run import EndedRun
    from cluster.commands.owner_client import OwnerClient
    from cluster.watching.status import OVER, read_state

    has_ended = read_state(run)["state"] in OVER
    return EndedRun(run) if has_ended else OwnerClient.of_run(run)


def _rows(owner: OwnerClient | EndedRun) -> tuple[Assessment, ...]:
    from cluster.commands.owner_client import OwnerClient

    return owner.overview().labelers if isinstance(owner, OwnerClient) else owner.labelers()


def _row(owner: OwnerClient | EndedRun, name: str) -> Assessment | None:
    return next((each for each in _rows(owner) if each.labeler_id == name), None)


def _is_news(row: Assessment | None, act: Act, from_seq: int = 0) -> bool:
    """Return whether an act would change how somebody stands; of nobody known the run says so."""
    from label_queue.oversight.exclusion import is_news

    return row is None or is_news(act, from_seq, row)


def _when(owner: OwnerClient | EndedRun) -> str:
    from cluster.commands.owner_client import OwnerClient

    if isinstance(owner, OwnerClient):
        return ""
    return "; the run has ended: whatever goes on with its ledger takes note in its next fit"
