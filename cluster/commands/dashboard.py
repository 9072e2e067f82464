"""The pages on which runs are watched in wandb."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cluster.commands.shared import one_line_errors
from protocol.errors import InputError, MissingError

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
    from cluster.metrics.report_page import NEEDED, save_report
    from cluster.metrics.wandb_logs import kept_id
    from cluster.run_folder import write_json
    from protocol.files import is_file

    summary = folder.report / "summary.json"
    wandb_id = kept_id(folder.wandb)
    anew = f"`andon report {folder.path} --wandb` makes it"
    if not is_file(summary, "report", "name the folder of a run") or wandb_id is None:
        raise MissingError(f"{folder.path} has no report in wandb; {anew}")
    page = folder.wandb / "report_page.json"
    before = _object(page, ("id",), "remove it: the page is made anew") if page.exists() else {}
    figures = _object(summary, NEEDED, anew)
    page_id, address = save_report(project, entity, wandb_id, figures, before.get("id"))
    write_json(page, {"id": page_id})
    return address


def _object(path: Path, needed: Sequence[str], mend: str) -> dict[str, Any]:
    """Return what a JSON file holds; InputError where that is no object, or lacks a key."""
    from protocol.files import read_text

    text = read_text(path, "the run's report in wandb", mend)
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not JSON ({error}): {mend}") from error
    lacks = [key for key in needed if not isinstance(content, dict) or key not in content]
    if lacks:
        raise InputError(f"{path} lacks {lacks[0]}: {mend}")
    return dict(content)
