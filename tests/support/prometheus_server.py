"""A Prometheus of the tests' own, on loopback: what Grafana would ask."""

from __future__ import annotations

import json
import shutil
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cluster.starting.ports import free_port
from tests.support.patience import PATIENCE_S
from tests.support.programs import program_running

MISSING = "no prometheus on PATH; `apt-get install prometheus` gives one"
HOST = "127.0.0.1"


class PrometheusServer:
    """A started server; asked over HTTP."""

    def __init__(self, url: str) -> None:
        self.url = url

    def values(self, expression: str) -> list[dict[str, Any]]:
        """Return the series an expression gives now, each with its labels and its value."""
        query = urllib.parse.urlencode({"query": expression})
        with urllib.request.urlopen(
            f"{self.url}/api/v1/query?{query}", timeout=PATIENCE_S
        ) as answer:
            found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
        return found

    def is_ready(self) -> bool:
        """Say whether it answers."""
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=PATIENCE_S) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


@contextmanager
def prometheus_server(binary: Path, folder: Path, scraped_port: int) -> Iterator[PrometheusServer]:
    """Run one that scrapes a port of this machine each second."""
    config = folder / "prometheus.yml"
    config.write_text(
        "global: {scrape_interval: 1s}\n"
        "scrape_configs:\n"
        "  - job_name: ray\n"
        f"    static_configs: [{{targets: ['{HOST}:{scraped_port}']}}]\n"
    )
    port = free_port(HOST, 0)
    command = [
        str(binary),
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={HOST}:{port}",
    ]
    server = PrometheusServer(f"http://{HOST}:{port}")
    log = folder / "prometheus.log"
    with program_running(command, log, server.is_ready, "Prometheus answers"):
        yield server


def find_prometheus() -> Path | None:
    """Return the server's program, or None."""
    found = shutil.which("prometheus")
    return None if found is None else Path(found)
