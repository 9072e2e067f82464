"""The saved workspace: built and read back by wandb's own library, and saved without an account."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import wandb_workspaces.reports.v2 as wr
import wandb_workspaces.workspaces as ws
from click.testing import CliRunner
from wandb_workspaces.reports.v2 import internal as reports
from wandb_workspaces.workspaces import internal

from cluster.cli import main
from cluster.metrics.config import MetricsConfig
from cluster.metrics.hub import open_hub
from cluster.metrics.names import AXES, CATALOGUE, SECTIONS
from cluster.metrics.panels import OVERVIEW, REPORT_TABLES
from cluster.metrics.workspace import build_workspace
from cluster.report.records import read_run
from cluster.report.tables import report_tables
from tests.support.recorded_wandb import ENTITY, RecordedWandb
from tests.support.synthetic_run import SyntheticRun
from tests.support.wandb_here import in_wandbs_place


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[RecordedWandb]:
    """The stand-in, which this process takes for wandb's server."""
    with in_wandbs_place(monkeypatch) as server:
        yield server


def spec(workspace: ws.Workspace) -> str:
    """Return what is sent, as the library writes it."""
    return str(workspace._to_model().spec.model_dump_json(by_alias=True, exclude_none=True))


def read_back(text: str) -> ws.Workspace:
    view = internal.View(
        entity=ENTITY,
        project="andon",
        display_name="Andon",
        name="nw-andon-v",
        id="W0",
        spec=internal.WorkspaceViewspec.model_validate_json(text),
    )
    return ws.Workspace._from_model(view)


def plots(section: ws.Section) -> list[wr.LinePlot]:
    return [panel for panel in section.panels if isinstance(panel, wr.LinePlot)]


def test_the_library_reads_back_what_it_wrote() -> None:
    built = build_workspace(ENTITY, "andon")
    back = read_back(spec(built))
    assert [section.name for section in back.sections] == [
        "Overview",
        *(section.prefix for section in SECTIONS),
        "report",
    ]
    for ours, theirs in zip(built.sections, back.sections, strict=True):
        assert [panel.y for panel in plots(ours)] == [panel.y for panel in plots(theirs)]
        assert [panel.x for panel in plots(ours)] == [panel.x for panel in plots(theirs)]
    assert back.runset_settings.groupby == [ws.Metric("Group")]
    assert back.auto_generate_panels is False


def test_every_metric_is_in_it_and_nothing_else() -> None:
    back = read_back(spec(build_workspace(ENTITY, "andon")))
    written = {name for name, metric in CATALOGUE.items() if metric.is_written}
    drawn = [plot for section in back.sections for plot in plots(section)]
    assert {str(metric.name) for plot in drawn for metric in (plot.x, *plot.y)} == written


def test_each_picture_has_its_axis_range_words_and_lines() -> None:
    overview, *sections, _ = read_back(spec(build_workspace(ENTITY, "andon"))).sections
    assert overview.is_open
    assert overview.pinned
    assert [panel.title for panel in plots(overview)] == [panel.title for panel in OVERVIEW]
    for section, ours in zip(sections, SECTIONS, strict=True):
        assert section.panel_settings.x_axis == ours.axis
        words, *_ = section.panels
        assert isinstance(words, wr.MarkdownPanel)
        assert ours.intro in words.markdown
        assert all(m.meaning in words.markdown for m in ours.metrics if m.is_written)
    shown = {plot.y[0].name: plot for section in sections for plot in plots(section)}
    for name, plot in shown.items():
        assert plot.x.name == CATALOGUE[name].axis
        assert plot.title_x == f"{plot.x.name} [{AXES[plot.x.name][0]}]"
        assert plot.title_y == CATALOGUE[name].unit
        assert plot.groupby_aggfunc == "mean"
    assert shown["online/coverage"].range_y == (0.0, 1.0)
    assert shown["policy/loss"].smoothing_type == "exponentialTimeWeighted"
    assert shown["labels/received"].smoothing_type == "none"


def test_the_command_makes_the_project_and_saves_one_view_however_often(
    server: RecordedWandb,
) -> None:
    for _ in range(2):
        told = CliRunner().invoke(main, ["dashboard", "--project", "tastes"])
        assert told.exit_code == 0, told.output
        assert f"{ENTITY}/tastes?nw=andon" in told.output
    assert server.refused == []
    assert server.projects == {"tastes"}
    (view,) = server.views.values()
    assert (view["displayName"], view["name"], view["type"]) == (
        "Andon",
        "nw-andon-v",
        "project-view",
    )
    assert len(read_back(view["spec"]).sections) == len(SECTIONS) + 2


def test_without_a_server_the_command_says_what_to_do(
    server: RecordedWandb, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.refuses = True
    told = CliRunner().invoke(main, ["dashboard"])
    assert told.exit_code == 2
    assert "the workspace of andon could not be saved in wandb" in told.output
    assert "wandb login" in told.output


def queries(server: RecordedWandb) -> list[str]:
    return [each.body["query"] for each in server.received if each.path == "/graphql"]


def run_online(server: RecordedWandb, folder: Path, query: str) -> None:
    """Open the hub of an online run, and close it once it has sent a query."""
    before = len(queries(server))
    config = MetricsConfig(wandb="online")
    with closing(open_hub(config, folder=folder, run_id="demo-1", run_config={}, began_at=0.0)):
        assert server.wait_until(lambda: any(query in each for each in queries(server)[before:]))


def test_the_first_online_run_saves_it_and_the_next_leaves_it_as_it_is(
    server: RecordedWandb, tmp_path: Path
) -> None:
    run_online(server, tmp_path / "a", "mutation UpsertView2")
    (view,) = server.views.values()
    changed = json.loads(view["spec"])
    changed["section"]["panelBankConfig"]["sections"].pop()
    view["spec"] = json.dumps(changed)
    run_online(server, tmp_path / "b", "query View(")
    assert len([query for query in queries(server) if "mutation UpsertView2" in query]) == 1
    assert json.loads(view["spec"]) == changed
    assert server.refused == []


def read_report(text: str) -> list[Any]:
    """Return the blocks of a report, as the library reads them."""
    view = reports.ReportViewspec(
        id="W0",
        display_name="Andon: synthetic",
        project=reports.Project(name="andon", entity_name=ENTITY),
        spec=reports.Spec.model_validate_json(text),
    )
    return list(wr.Report._from_model(view).blocks)


def test_the_report_of_a_run_is_one_page_however_often_it_is_saved(
    server: RecordedWandb, tmp_path: Path
) -> None:
    folder = SyntheticRun(tmp_path / "synthetic").write()
    told = CliRunner().invoke(main, ["dashboard", str(folder)])
    assert told.exit_code == 2
    assert f"`andon report {folder} --wandb` makes it" in told.output
    CliRunner().invoke(main, ["report", "--wandb", str(folder)])
    for _ in range(2):
        told = CliRunner().invoke(main, ["dashboard", str(folder)])
        assert told.exit_code == 0, told.output
    assert server.refused == []
    (report,) = [view for view in server.views.values() if view["type"] == "runs"]
    assert report["displayName"] == "Andon: synthetic"
    blocks = read_report(report["spec"])
    (log,) = folder.glob("wandb/offline-run-*/run-*.wandb")
    grids = [block for block in blocks if isinstance(block, wr.PanelGrid)]
    for grid in grids:
        (runset,) = grid.runsets
        assert log.stem.removeprefix("run-") in runset.filters
    panels = [panel for grid in grids for panel in grid.panels]
    plotted = [p.title for p in panels if isinstance(p, wr.LinePlot)]
    assert plotted == [panel.title for panel in OVERVIEW]
    shown = {p.table_name for p in panels if isinstance(p, wr.WeavePanelSummaryTable)}
    assert shown == {f"report/{name}" for name in REPORT_TABLES}
    (words,) = [block.text for block in blocks if isinstance(block, wr.MarkdownBlock)]
    for name, value in json.loads((folder / "report" / "summary.json").read_text()).items():
        if name != "unknown":
            assert f"| {name} | " in words
            if isinstance(value, int | str):
                assert f"| {name} | {value} |" in words
    assert "| peak_memory_bytes | memory was not sampled |" in words


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("report/summary.json", "{", "is not JSON .* --wandb` makes it"),
        ("report/summary.json", '{"run_id": "a"}', "lacks mode: `andon report .* makes it"),
        ("wandb/report_page.json", "[]", "lacks id: remove it: the page is made anew"),
    ],
)
def test_a_file_that_is_not_as_it_was_written_is_named(
    server: RecordedWandb, tmp_path: Path, name: str, content: str, said: str
) -> None:
    folder = SyntheticRun(tmp_path / "synthetic").write()
    CliRunner().invoke(main, ["report", "--wandb", str(folder)])
    (folder / name).write_text(content)
    told = CliRunner().invoke(main, ["dashboard", str(folder)])
    assert told.exit_code == 2, told.output
    assert re.search(rf"{name} {said}", told.output), told.output
    assert server.views == {}


def test_the_tables_it_shows_are_those_a_run_has(tmp_path: Path) -> None:
    run = read_run(SyntheticRun(tmp_path / "synthetic").write())
    assert {"pictures", *report_tables(run, with_text=True)} == set(REPORT_TABLES)
