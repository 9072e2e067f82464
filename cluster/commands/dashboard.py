"""The pages on which runs are watched in wandb."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cluster.commands.shared import one_line_errors
from protocol.errors import MissingError

if TYPE_CHECKING:
    from cluster.run_folder import RunFolder


@click.command()
@click.argument("run", type=click.Path(path_type=Path), required=False)
@click.option("--project", help="The wandb project. Default: RUN's, else andon.")
@click.option(
    "--entity",
    help="User or team it belongs to. Default: WANDB_ENTITY, else the account's own.",
)
@one_line_errors
def dashboard(run: Path | None, project: str | None, entity: str | None) -> None:
    """Save the workspace "Andon" in a wandb project: an overview, and every metric by its section.

    Needs an account (`wandb login`). The project is made if it is not there; a workspace of that
    name is made anew. The first run that is online saves it as well.

    With RUN, the folder of a run that has ended and is in wandb, its report is saved as a page too.
    """
    from cluster.config_file import load_config
    from cluster.metrics.config import MetricsConfig
    from cluster.metrics.workspace import save_workspace
    from cluster.run_folder import RunFolder

    metrics = MetricsConfig()
    if run is not None:
        folder = RunFolder.existing(run)
        metrics = load_config(folder.config).metrics
        address = _save_report(folder, project or metrics.wandb_project, entity)
        click.echo(f"report: {address}")
    project = project or metrics.wandb_project
    click.echo(f"workspace: {save_workspace(project, entity, replaces=True)}")


def _save_report(folder: RunFolder, project: str, entity: str | None) -> str:
    """Save the page of a run's report, the same one each time; return its address."""
    from cluster.metrics.report_page import save_report
    from cluster.metrics.wandb_logs import kept_id
    from cluster.run_folder import write_json
    from protocol.files import is_file

    summary = folder.report / "summary.json"
    wandb_id = kept_id(folder.wandb)
    if not is_file(summary, "report", "name the folder of a run") or wandb_id is None:
        raise MissingError(
            f"{folder.path} has no report in wandb; `andon report {folder.path} --wandb` makes it"
        )
    page = folder.wandb / "report_page.json"
    before = json.loads(page.read_text(encoding="utf-8"))["id"] if page.exists() else None
    figures = json.loads(summary.read_text(encoding="utf-8"))
    page_id, address = save_report(project, entity, wandb_id, figures, before)
    write_json(page, {"id": page_id})
    return address
