"""The page on which runs are watched in wandb, as code: a saved view of a project.

Made from the catalogue: an overview, then a section for each prefix, drawn against its own axis,
with the words of the definitions. Runs of one config are one line, whatever their seeds.
"""

from __future__ import annotations

import threading

import wandb
import wandb_workspaces.reports.v2 as wr
import wandb_workspaces.workspaces as ws
from wandb.sdk.lib.service.service_connection import WandbApiFailedError
from wandb_workspaces.workspaces import internal

from cluster.metrics.definitions.section import Section
from cluster.metrics.names import AXES, SECTIONS
from cluster.metrics.panels import OVERVIEW, REPORT_TABLES, Panel, section_panels
from protocol.errors import ResourceError
from protocol.logs import logger_of

FAILURES = (wandb.errors.Error, WandbApiFailedError, OSError, ValueError)
_log = logger_of("metrics")

TITLE = "Andon"
VIEW = "andon"
"""Names the view in its project: saved again, it is the same one."""
SMOOTHING = 0.6
"""Smoothing of figures that are drawn each step; labels and clocks are shown as they are."""
SMOOTHED = frozenset(("policy", "kl", "reward", "rollout", "staleness"))
PINNED_COLUMNS = (
    "run:displayName",
    "run:state",
    "config:run.value.seed",
    "summary:report/gold_final_mean",
    "summary:report/validation_winrate_recent",
    "summary:report/kl_final_mean",
    "summary:report/labels_in_ledger",
)


def build_workspace(entity: str, project: str) -> ws.Workspace:
    """Return the view of a project, not saved yet."""
    overview = ws.Section(
        name="Overview",
        is_open=True,
        pinned=True,
        layout_settings=ws.SectionLayoutSettings(columns=3, rows=4),
        panels=[line_plot(panel) for panel in OVERVIEW],
    )
    reports = ws.Section(name="report", panels=[summary_table(name) for name in REPORT_TABLES])
    return ws.Workspace(
        entity=entity,
        project=project,
        name=TITLE,
        sections=[overview, *(_section(section) for section in SECTIONS), reports],
        settings=ws.WorkspaceSettings(max_runs=20),
        runset_settings=ws.RunsetSettings(
            groupby=[ws.Metric("Group")], pinned_columns=list(PINNED_COLUMNS)
        ),
    )


def _section(section: Section) -> ws.Section:
    return ws.Section(
        name=section.prefix,
        panels=[
            wr.MarkdownPanel(markdown=section_words(section)),
            *(line_plot(panel) for panel in section_panels(section)),
        ],
        panel_settings=ws.SectionPanelSettings(x_axis=section.axis),
    )


def line_plot(panel: Panel, *, is_grouped: bool = True) -> wr.LinePlot:
    """Return a panel as wandb draws it: one line for each name, and for each config or each run."""
    is_smoothed = all(name.partition("/")[0] in SMOOTHED for name in panel.names)
    return wr.LinePlot(
        title=panel.title,
        x=wr.Metric(panel.axis),
        y=[wr.Metric(name) for name in panel.names],
        title_x=f"{panel.axis} [{AXES[panel.axis][0]}]",
        title_y=panel.unit,
        range_y=(panel.low, panel.high),
        smoothing_type="exponentialTimeWeighted" if is_smoothed else "none",
        smoothing_factor=SMOOTHING if is_smoothed else 0.0,
        smoothing_show_original=is_smoothed,
        groupby=wr.Metric("Group") if is_grouped else None,
        groupby_aggfunc="mean" if is_grouped else None,
        groupby_rangefunc="minmax" if is_grouped else None,
    )


def summary_table(name: str) -> wr.WeavePanelSummaryTable:
    """Return what shows a table of a run's report."""
    return wr.WeavePanelSummaryTable(table_name=f"report/{name}", layout=wr.Layout(w=24, h=12))


def section_words(section: Section) -> str:
    """Return what the metrics of a section mean, as Markdown."""
    head = [f"**{section.prefix}/**, against `{section.axis}`: {AXES[section.axis][1]}"]
    if section.intro:
        head.append(section.intro)
    meanings = [
        f"- `{metric.name.partition('/')[2]}` [{metric.unit}] {metric.meaning}"
        for metric in section.metrics
        if metric.is_written
    ]
    return "\n\n".join([*head, "\n".join(meanings)])


def save_workspace(project: str, entity: str | None = None, *, replaces: bool) -> str:
    """Save the view in its project, which is made if it is not there.

    Args:
        project: Its name.
        entity: User or team it belongs to; None: the one of WANDB_ENTITY, else the account's own.
        replaces: Whether a view that is there is made anew. It may be one that people have changed.

    Returns:
        Its address.

    Raises:
        ResourceError: There is no account, or no way to the server, or it refuses.
    """
    try:
        api = wandb.Api()
        owner = owner_of(api, entity)
        if project not in {each.name for each in api.projects(owner)}:
            api.create_project(project, owner)
        workspace = build_workspace(owner, project)
        workspace._internal_name = internal._url_query_str_to_internal_name(VIEW)
        workspace._internal_id = _saved_id(owner, project)
        if replaces or not workspace._internal_id:
            workspace.save()
        return str(workspace.url)
    except FAILURES as failure:
        raise ResourceError(
            f"the workspace of {project} could not be saved in wandb ({failure}); log in "
            "(`wandb login`) and check the network"
        ) from failure


def owner_of(api: wandb.Api, entity: str | None) -> str:
    """Return the user or team that is meant: the one named, WANDB_ENTITY's, or the account's."""
    return str(entity or wandb.setup().settings.entity or api.default_entity)


def save_aside(project: str) -> None:
    """Save the view in a thread of its own, if it is not there; a failure is only logged."""

    def save() -> None:
        try:
            save_workspace(project, replaces=False)
        except ResourceError as failure:
            _log.warning("no workspace", reason=str(failure))

    threading.Thread(target=save, name="workspace", daemon=True).start()


def _saved_id(entity: str, project: str) -> str:
    """Return the id of the view that is there; "" if there is none."""
    try:
        view = internal.get_view_dict(entity, project, VIEW)
    except ValueError:  # the library's word for a view it did not find
        return ""
    return str(view["id"])
