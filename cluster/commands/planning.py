"""What a run would take of a machine."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cluster.commands.exit_codes import EXIT_FAILED
from cluster.commands.runs import set_option
from cluster.commands.shared import json_option, one_line_errors, refuse_nan

if TYPE_CHECKING:
    from cluster.config import RunConfig

SIZE = click.FloatRange(min=0, min_open=True, max=1e9)


@click.command()
@click.argument("config", type=click.Path(path_type=Path))
@set_option
@click.option("--gpus", type=click.IntRange(0, 10_000), help="GPUs of the machine.")
@click.option(
    "--gpu-gib", type=SIZE, callback=refuse_nan, help="Memory of each; 79 is one of 80 GB."
)
@click.option("--host-gib", type=SIZE, callback=refuse_nan, help="Memory of the host.")
@json_option
@one_line_errors
def plan(
    config: Path,
    overrides: tuple[str, ...],
    gpus: int | None,
    gpu_gib: float | None,
    host_gib: float | None,
    as_json: bool,
) -> None:
    """Say what each process of the CONFIG file would take, what fits, and what to change.

    Needs no GPU and no weights: of the model its config alone, which is fetched where it is a hub
    id. It is planned for this machine; where that has no GPU and the config asks for some, or where
    an option describes another, for one with as many GPUs as it takes. Exit code 0 where all fits,
    1 where it does not.

    Example: andon plan examples/hub-7b-eight-gpus.toml --gpus 8 --gpu-gib 79
    """
    from cluster.config_file import load_config
    from cluster.planning.changes import advise
    from cluster.planning.machine import planned_machine
    from cluster.planning.models import MetaModels
    from cluster.planning.plan import Plan, make_plan
    from cluster.planning.table import as_json as in_json
    from cluster.planning.table import as_text
    from cluster.starting.policy_source import model_shape

    run = load_config(config, overrides)
    run.refuse_unread_keys()
    models = MetaModels(model_shape(run))
    machine = planned_machine(run, num_gpus=gpus, gpu_gib=gpu_gib, host_gib=host_gib)

    def planned(changed: RunConfig) -> Plan:
        return make_plan(changed, models, machine)

    found = planned(run)
    advice = advise(run, found, planned)
    click.echo((in_json if as_json else as_text)(found, advice), nl=as_json)
    if not found.fits:
        sys.exit(EXIT_FAILED)
