"""The report of one run as a page in wandb: figures, pictures, how it went, samples, labelers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import wandb
import wandb_workspaces.reports.v2 as wr

from cluster.metrics.panels import OVERVIEW
from cluster.metrics.workspace import FAILURES, line_plot, owner_of, summary_table
from protocol.errors import ResourceError

LONGEST_TITLE = 128
NEEDED = ("run_id", "mode", "seed", "state", "unknown")
"""Figures that a page cannot do without."""


def build_report(
    entity: str, project: str, wandb_id: str, summary: Mapping[str, object]
) -> wr.Report:
    """Return the page of a run, not saved yet.

    Args:
        entity: User or team the project belongs to.
        project: The run's.
        wandb_id: The run's id there.
        summary: Its figures, as in `report/summary.json`.
    """

    def grid(*panels: wr.LinePlot | wr.WeavePanelSummaryTable) -> wr.PanelGrid:
        runset = wr.Runset(
            entity=entity, project=project, name="The run", filters=f"Metric('ID') = '{wandb_id}'"
        )
        return wr.PanelGrid(runsets=[runset], panels=list(panels))

    return wr.Report(
        entity=entity,
        project=project,
        title=f"Andon: {summary['run_id']}"[:LONGEST_TITLE],
        description=f"{summary['mode']} run, seed {summary['seed']}, {summary['state']}",
        width="fluid",
        blocks=[
            wr.TableOfContents(),
            wr.H2("In figures"),
            wr.MarkdownBlock(figures_in_words(summary)),
            wr.H2("Pictures"),
            grid(summary_table("pictures")),
            wr.H2("As it went"),
            grid(*(line_plot(panel, is_grouped=False) for panel in OVERVIEW)),
            wr.H2("Samples"),
            grid(summary_table("before_and_after"), summary_table("responses")),
            wr.H2("Labelers"),
            grid(summary_table("labelers"), summary_table("disagreements")),
        ],
    )


def figures_in_words(summary: Mapping[str, object]) -> str:
    """Return the figures as a table in Markdown, and of those not known why."""
    return "\n".join(["| figure | |", "| --- | --- |", *_lines(summary)])


def _lines(summary: Mapping[str, object]) -> Iterator[str]:
    unknown = summary["unknown"]
    assert isinstance(unknown, Mapping)
    for name, value in summary.items():
        if name == "unknown":
            continue
        if isinstance(value, Mapping):
            value = ", ".join(f"{key} {item}" for key, item in sorted(value.items()))
        elif isinstance(value, float):
            value = f"{value:.4g}"
        yield f"| {name} | {unknown[name] if value is None else value} |".replace("\n", " ")


def save_report(
    project: str,
    entity: str | None,
    wandb_id: str,
    summary: Mapping[str, object],
    saved_id: str | None,
) -> tuple[str, str]:
    """Save the page of a run.

    Args:
        project: The run's.
        entity: User or team it belongs to; None: as for `save_workspace`.
        wandb_id: The run's id there.
        summary: Its figures.
        saved_id: The page's id, where it was saved before; it is made anew then.

    Returns:
        Its id and its address.

    Raises:
        ResourceError: There is no account, or no way to the server, or it refuses.
    """
    try:
        page = build_report(owner_of(wandb.Api(), entity), project, wandb_id, summary)
        page.id = saved_id or ""
        page.save()
        return str(page.id), str(page.url)
    except FAILURES as failure:
        raise ResourceError(
            f"the report of {wandb_id} could not be saved in wandb ({failure}); log in "
            "(`wandb login`) and check the network"
        ) from failure
