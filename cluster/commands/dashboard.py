"""The page on which runs are watched in wandb."""

from __future__ import annotations

import click

from cluster.commands.shared import one_line_errors


@click.command()
@click.option("--project", default="andon", show_default=True, help="The wandb project.")
@click.option(
    "--entity",
    help="User or team it belongs to. Default: WANDB_ENTITY, else the account's own.",
)
@one_line_errors
def dashboard(project: str, entity: str | None) -> None:
    """Save the workspace "Andon" in a wandb project: an overview, and every metric by its section.

    Needs an account (`wandb login`). The project is made if it is not there; a workspace of that
    name is made anew. The first run that is online saves it as well.
    """
    from cluster.metrics.workspace import save_workspace

    click.echo(f"workspace: {save_workspace(project, entity, replaces=True)}")
