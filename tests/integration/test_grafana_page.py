"""The dashboard for Grafana: each of its pictures has something to show, by Prometheus."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster.metrics.config import MetricsConfig
from cluster.metrics.names import AXES, CATALOGUE
from cluster.metrics.remote import RemoteSink
from cluster.metrics.shell import HUB_OPTIONS, MetricsShell
from protocol.remote import spawn
from tests.support.needed import needed
from tests.support.patience import PATIENCE_S
from tests.support.prometheus_server import (
    MISSING,
    PrometheusServer,
    find_prometheus,
    prometheus_server,
)
from tests.support.run_process import REPOSITORY, wait_until

PAGE = REPOSITORY / "cluster" / "deploy" / "grafana" / "andon.json"
RUN = "watched-1"


def pictures() -> Iterator[dict[str, Any]]:
    """Yield all of the dashboard's, also those in closed rows."""
    for panel in json.loads(PAGE.read_text())["panels"]:
        yield from (each for each in (panel, *panel.get("panels", ())) if each["type"] != "row")


def expressions() -> set[str]:
    return {target["expr"] for picture in pictures() for target in picture["targets"]}


@pytest.fixture
def prometheus(ray_session: None, tmp_path: Path) -> Iterator[PrometheusServer]:
    """One that scrapes this Ray, in which a hub has written every metric there is."""
    import ray

    binary = needed(find_prometheus(), "ANDON_REQUIRE_PROMETHEUS", MISSING)
    start = spawn(MetricsShell, "the metrics hub", HUB_OPTIONS)
    hub = start(MetricsConfig(wandb="off", prometheus=True), str(tmp_path), RUN, {}, 0.0)
    ray.get(hub.send(MetricsShell.open))
    sink = RemoteSink(hub)
    for axis in AXES:
        own = [name for name, each in CATALOGUE.items() if each.axis == axis and each.is_written]
        sink.write(dict.fromkeys((*own, axis), 0.25))
    sink.settle()
    (node,) = ray.nodes()
    with prometheus_server(binary, tmp_path, node["MetricsExportPort"]) as server:
        yield server
    ray.kill(hub.handle)


@pytest.mark.timeout(2 * PATIENCE_S)
def test_every_picture_has_something_to_show(prometheus: PrometheusServer) -> None:
    asked = {expr: expr.replace("$run", RUN) for expr in expressions()}
    assert len(asked) > 80

    def empty() -> list[str]:
        return [expr for expr, query in asked.items() if not prometheus.values(query)]

    wait_until(lambda: not empty(), "all metrics are scraped", PATIENCE_S)
    for query in asked.values():
        (series,) = prometheus.values(query)
        assert (series["metric"]["run"], series["value"][1]) == (RUN, "0.25")


def test_the_pictures_show_all_that_is_written() -> None:
    from cluster.metrics.ray_sink import exported_name

    written = {name for name, each in CATALOGUE.items() if each.is_written and name not in AXES}
    shown = {expr.partition("{")[0] for expr in expressions()}
    assert {exported_name(name) for name in written} - shown == set()
