"""Write `cluster/deploy/grafana/andon.json` from the catalogue; with `--check`, only compare.

A dashboard as Grafana imports it: the pictures of `cluster.metrics.panels` over what Prometheus
scrapes from Ray. Run by Andon's own Python, in the checkout: `.venv/bin/python
tools/grafana_page.py`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from string import ascii_uppercase

from grafana_foundation_sdk.builders import common, dashboard, prometheus, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import LegendDisplayMode, LegendPlacement
from grafana_foundation_sdk.models.dashboard import DataSourceRef, VariableRefresh, VariableSort

from cluster.metrics.names import CATALOGUE, SECTIONS, WALL_S
from cluster.metrics.panels import OVERVIEW, Panel, section_panels
from cluster.metrics.ray_sink import exported_name

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "cluster" / "deploy" / "grafana" / "andon.json"
SOURCE = DataSourceRef(type_val="prometheus", uid="${prometheus}")
SPAN, HEIGHT = 8, 8
"""Of a picture, in the 24 columns and the rows of Grafana's grid."""
UNITS = {"1": "short", "s": "s", "ms": "ms", "bytes": "bytes"}
"""Grafana's names of units; others are written out."""


def grafana_page() -> str:
    """Return the dashboard's JSON."""
    page = (
        dashboard.Dashboard("Andon")
        .uid("andon")
        .tags(["andon", "rlhf"])
        .timezone("browser")
        .refresh("10s")
        .time("now-3h", "now")
        .with_variable(
            dashboard.DatasourceVariable("prometheus").label("Prometheus").type("prometheus")
        )
        .with_variable(
            dashboard.QueryVariable("run")
            .label("Run")
            .datasource(SOURCE)
            .query(f"label_values({exported_name(WALL_S)}, run)")
            .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
            .sort(VariableSort.ALPHABETICAL_DESC)
            .multi(True)
        )
        .with_row(dashboard.Row("Overview"))
    )
    for panel in OVERVIEW:
        page = page.with_panel(_drawn(panel))
    for section in SECTIONS:
        row = dashboard.Row(section.prefix).collapsed(True)
        for panel in section_panels(section):
            row = row.with_panel(_drawn(panel))
        page = page.with_row(row)
    return JSONEncoder(sort_keys=True, indent=2).encode(page.build()) + "\n"


def _drawn(panel: Panel) -> timeseries.Panel:
    """Return a picture as Grafana draws it: one line for each name and run, against time."""
    drawn = (
        timeseries.Panel()
        .title(panel.title)
        .description("\n\n".join(f"{name}: {CATALOGUE[name].meaning}" for name in panel.names))
        .datasource(SOURCE)
        .span(SPAN)
        .height(HEIGHT)
        .line_width(1)
        .unit(UNITS.get(panel.unit, f"suffix: {panel.unit}"))
        .legend(
            common.VizLegendOptions()
            .display_mode(LegendDisplayMode.LIST)
            .placement(LegendPlacement.BOTTOM)
            .show_legend(True)
        )
    )
    if panel.low is not None:
        drawn = drawn.min(panel.low)
    if panel.high is not None:
        drawn = drawn.max(panel.high)
    for letter, name in zip(ascii_uppercase, panel.names, strict=False):
        drawn = drawn.with_target(
            prometheus.Dataquery()
            .ref_id(letter)
            .expr(f'{exported_name(name)}{{run=~"$run"}}')
            .legend_format(f"{name.partition('/')[2]} {{{{run}}}}")
        )
    return drawn


def main(arguments: list[str]) -> int:
    """Return the exit status: 1 where `--check` finds another page than there should be."""
    wanted = grafana_page()
    if "--check" not in arguments:
        PAGE.parent.mkdir(parents=True, exist_ok=True)
        PAGE.write_text(wanted, encoding="utf-8")
    elif not PAGE.exists() or PAGE.read_text(encoding="utf-8") != wanted:
        sys.stderr.write("cluster/deploy/grafana/andon.json is old: run tools/grafana_page.py\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
