"""Starting runs, looking at them and ending them."""

from __future__ import annotations

from pathlib import Path

import click

from cluster.commands.shared import (
    STORED,
    WAIT_S,
    json_option,
    one_line_errors,
    refuse_nan,
    run_argument,
)
from protocol.errors import InputError
from protocol.limits import LARGEST_SEED

set_option = click.option(
    "--set",
    "overrides",
    metavar="KEY=VALUE",
    multiple=True,
    help="Override a key of the config, e.g. --set ppo.lr=1e-4. May be repeated.",
)
folder_option = click.option(
    "--folder",
    type=click.Path(path_type=Path),
    help="Where the run is kept. Default: runs/NAME-SEED, with a number if that is taken.",
)
seed_option = click.option(
    "--seed",
    type=click.IntRange(0, LARGEST_SEED),
    default=1,
    show_default=True,
    help="Of sampling, training and asking.",
)
ledger_option = click.option(
    "--ledger",
    metavar="URL",
    help="Keep the labels in a database on a server: postgresql://USER@HOST:PORT/DATABASE, without "
    "a password. The same as --set labels.ledger_url=URL. Default: the config's, or "
    "RUN/ledger.sqlite.",
)


@click.command()
@folder_option
@ledger_option
@seed_option
@click.option(
    "--mode",
    type=click.Choice(["online", "batched", "offline"]),
    default="online",
    show_default=True,
    help="Labels all through training, in rounds between, or all of them before it.",
)
@set_option
@one_line_errors
def demo(
    folder: Path | None, ledger: str | None, seed: int, mode: str, overrides: tuple[str, ...]
) -> None:
    """Run the whole system on generated reviews, with simulated labelers, and report.

    Needs no GPU, no account and no download: a small base model is trained first (and kept for the
    next time), then a rollout actor, a reward service, a learner and a label queue run online
    RLHF against labelers whose true preference only the report knows.
    """
    from cluster.config_file import load_config
    from cluster.run import run_to_end

    path = Path(__file__).parents[1] / "demo.toml"
    chosen = (f"run.seed={seed}", f"run.mode={mode}", *_ledger_at(ledger), *overrides)
    run_to_end(load_config(path, chosen), folder)


@click.command()
@click.argument("config", type=click.Path(path_type=Path))
@click.argument("settings", metavar="[KEY=VALUE]...", nargs=-1)
@folder_option
@ledger_option
@set_option
@one_line_errors
def run(
    config: Path,
    settings: tuple[str, ...],
    folder: Path | None,
    ledger: str | None,
    overrides: tuple[str, ...],
) -> None:
    """Run the CONFIG file, on this machine or on the Ray cluster that RAY_ADDRESS names.

    Keys of the config are overridden by --set, or by KEY=VALUE after it, as sweeps write them.
    """
    from cluster.config_file import load_config
    from cluster.run import run_to_end

    run_to_end(load_config(config, (*_ledger_at(ledger), *overrides, *settings)), folder)


def _ledger_at(url: str | None) -> tuple[str, ...]:
    """Return the settings that put a run's ledger at this URL.

    Raises InputError, which shows nothing of it, where it is none or may hold a password.
    """
    if url is None:
        return ()
    from label_queue.ledger_place import url_of

    return (f"labels.ledger_url={url_of(url, '--ledger')}",)


@click.command()
@run_argument
@click.option(
    "--from",
    "from_version",
    type=STORED,
    help="Go on from the checkpoint of this policy version. Default: the newest.",
)
@click.option(
    "--driver-is-gone",
    is_flag=True,
    help="Of a run that was last on another machine: say that its process there is no more.",
)
@set_option
@one_line_errors
def resume(
    run: Path, from_version: int | None, driver_is_gone: bool, overrides: tuple[str, ...]
) -> None:
    """Go on with the run in folder RUN, which was stopped, was interrupted or died.

    All that was labelled is there; training goes on from the newest checkpoint, and what came after
    it is set aside under RUN/lost; with --from, later checkpoints too. A run that still goes on is
    left alone. To release a pulled cord: `andon cord release`.

    Example: andon resume runs/demo-1 --set rollouts.num_actors=3
    """
    from cluster.watching.status import has_driver

    if has_driver(run, unseen_is_gone=driver_is_gone):
        click.echo(f"{run} goes on by itself; see `andon status`")
        return
    from cluster.run import resume_to_end

    resume_to_end(run, overrides, from_version)


@click.command()
@run_argument
@json_option
@one_line_errors
def status(run: Path, as_json: bool) -> None:
    """Show the status of the run in folder RUN."""
    from cluster.watching.status import describe, read_status

    found = read_status(run)
    click.echo(describe(found, as_json=as_json))


@click.command()
@run_argument
@click.option("--reason", default="asked by a person", show_default=True)
@click.option(
    "--timeout",
    "timeout_s",
    type=WAIT_S,
    callback=refuse_nan,
    help="Seconds to wait. Default: 120, or 25 with --now.",
)
@click.option(
    "--now",
    is_flag=True,
    help="Do not wait for the current step, and kill a run that does not react in time.",
)
@one_line_errors
def stop(run: Path, reason: str, timeout_s: float | None, now: bool) -> None:
    """Stop the run in folder RUN after its current step, and wait until it has ended.

    The step and the saving of the policy get two thirds of cluster.stop_s; see there.
    """
    from cluster.watching.stopping import request_stop

    click.echo(request_stop(run, reason, timeout_s, at_once=now))


@click.command()
@run_argument
@click.option(
    "--wandb",
    "is_shown",
    is_flag=True,
    help="Give it to wandb as well, with rows and artifacts it lacks, as the end of a run does.",
)
@one_line_errors
def report(run: Path, is_shown: bool) -> None:
    """Write the report of the run in folder RUN, finished or not: one page, pictures, summary.

    With --wandb the run must not be going on: its own process writes to wandb then.
    """
    from cluster.report.write import write_report

    if not is_shown:
        click.echo(f"report: {write_report(run)}")
        return
    from cluster.report.in_wandb import show_in_wandb, show_lineage_in_wandb
    from cluster.report.records import read_run
    from cluster.run_folder import RunFolder
    from cluster.watching.status import is_going_on

    if is_going_on(run):
        raise InputError(f"{run} is going on and writes to wandb itself; stop it first: andon stop")
    records = read_run(run)
    click.echo(f"report: {write_report(run, records)}")
    show_in_wandb(records, RunFolder(run))
    if num_given := show_lineage_in_wandb(records, RunFolder(run)):
        click.echo(f"artifacts: {num_given} more in wandb")
