"""Each part by itself: PPO against a reward that stays, and a reward from a ledger alone."""

from __future__ import annotations

import json
from pathlib import Path

import click

from cluster.commands.runs import folder_option, set_option
from cluster.commands.shared import STORED, json_option, one_line_errors, refuse_nan

NOBODY_LABELS = (
    "people=[]",
    "labelers=[]",
    "judges=[]",
    "labels.connectors=[]",
    'labels.ledger_url=""',
)
"""What a run of mode "fixed" does not take over from the config of another."""


@click.command()
@click.argument("config", type=click.Path(path_type=Path))
@click.option(
    "--reward",
    required=True,
    metavar="BUNDLE|RUN[@VERSION]",
    help="A reward version's folder; or a run, or a fit, for the newest in it or the one named.",
)
@folder_option
@set_option
@one_line_errors
def train(config: Path, reward: str, folder: Path | None, overrides: tuple[str, ...]) -> None:
    """Train the policy of CONFIG by PPO against a reward that stays as it is.

    Nobody is asked, nothing is fitted. It is `andon run` with mode "fixed": the config of a run
    will do, those who label in it are left out, and the config that is saved says so. The owner's
    page, the cord and the report are there as in any run. Exit code 0 when the episodes are
    trained, 2 where what was given cannot be run, another of docs/EXIT_CODES.md where it failed.

    Example: andon train runs/demo-1/config.toml --reward runs/demo-1@9
    """
    from cluster.config_file import load_config
    from cluster.run import run_to_end
    from cluster.starting.given_reward import find_bundle

    bundle = find_bundle(reward, "--reward")
    fixed = ('run.mode="fixed"', f"run.reward={json.dumps(str(bundle))}")
    run_to_end(load_config(config, (*NOBODY_LABELS, *overrides, *fixed)), folder)


@click.command(name="fit-reward")
@click.argument("ledger")
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    help="How to fit: a TOML file, or a run's folder. Default: the config beside the ledger.",
)
@click.option(
    "--policy",
    metavar="DIR",
    help="The starting policy, a folder or hub id. Default: the run's, then the config's.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Where bundle and figures go. Default: fits/RUN-SEQ, with a number if that is taken.",
)
@click.option(
    "--validation-share",
    type=click.FloatRange(0, 1, max_open=True),
    callback=refuse_nan,
    default=0.2,
    show_default=True,
    help="Of the queries, held out to judge the fit by; 0 fits on all labels.",
)
@click.option("--until-seq", type=STORED, help="The last label event that counts. Default: all.")
@set_option
@json_option
@one_line_errors
def fit_reward(
    ledger: str,
    config: Path | None,
    policy: str | None,
    out: Path | None,
    validation_share: float,
    until_seq: int | None,
    overrides: tuple[str, ...],
    as_json: bool,
) -> None:
    """Fit a reward model from LEDGER alone, judge it, and write a bundle.

    LEDGER is a ledger.sqlite, a run's folder, or a postgresql:// URL without a password, which then
    needs --config; the run may be going on, its ledger is only read. The training set is the one
    the run itself would fit on, less what is held out. `andon train` takes the bundle. Exit code 0,
    or 2 where what was given cannot be fitted.

    Example: andon fit-reward runs/demo-1 --set reward_fit.epochs=2
    """
    from cluster.alone.fit_figures import in_words
    from cluster.alone.fit_reward import FitOrder, at_one_rank
    from cluster.alone.fit_reward import fit_reward as fit
    from cluster.alone.sources import find_config, find_ledger, find_policy, fresh_out
    from cluster.starting.absolute_paths import with_absolute_paths

    source = find_ledger(ledger)
    chosen = at_one_rank(with_absolute_paths(find_config(config, source, overrides)))
    place = fresh_out(source, until_seq, Path("fits")) if out is None else out
    figures = fit(
        FitOrder(
            ledger=source.ledger,
            config=chosen,
            policy=find_policy(policy, chosen, source.folder, Path("runs")),
            out=place,
            validation_share=validation_share,
            until_seq=until_seq,
        )
    )
    click.echo(json.dumps(figures, indent=2) if as_json else in_words(figures, place))
