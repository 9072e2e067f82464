"""One whole run of `andon run examples/reviews.toml`, watched from outside, for whoever tests it.

Its inputs are made here, its labels come by HTTP alone, and all of it is recorded.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from cluster.cli import main
from tests.support.outside_labeler import OutsideLabeler, choose_longest, open_client
from tests.support.patience import PATIENCE_S
from tests.support.run_process import (
    REPOSITORY,
    RunProcess,
    andon,
    run_arguments,
    wait_until,
)

REPLAY_PAGE = (REPOSITORY / "docs" / "REPLAY.md").read_text()
SETTINGS = (
    "metrics.prometheus=true",
    "metrics.wandb_artifacts=true",
    "learner.checkpoint.every_steps=2",
    *re.findall(r"--set '(recording\.record=.*)'$", REPLAY_PAGE, re.M),
)


@dataclass(frozen=True)
class Seen:
    """What was seen of a run while it went on, and how it ended."""

    run: RunProcess
    code: int
    acknowledged: list[str]
    status: dict[str, Any]
    listening: set[str]
    """Addresses on which any process of the run took connections."""
    answers: dict[str, int]
    """HTTP status of labels that must be refused, by what is wrong with them."""
    second_run: subprocess.CompletedProcess[str]
    """Of another run that was told to take the same port."""
    exported: str
    """What Prometheus would have scraped while it went on."""

    @property
    def summary(self) -> dict[str, Any]:
        return dict(json.loads((self.run.folder.report / "summary.json").read_text()))


def watch(run: RunProcess, inputs: Path) -> Seen:
    run.wait_for_state("running")
    status = json.loads(invoke("status", str(run.folder.path), "--json"))
    second_run = run_on_the_same_port(run, inputs)
    answers = send_wrong_labels(run)
    first = label_with_curl(run)
    listening = listening_addresses(run)
    exported = exported_metrics(run)
    labeler = OutsideLabeler(run.folder.path)
    labeler.start()
    code = run.wait()
    labeler.stop()
    assert labeler.refusals == []
    acknowledged = [first, *labeler.acknowledged]
    return Seen(run, code, acknowledged, status, listening, answers, second_run, exported)


def invoke(*arguments: str) -> str:
    result = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def run_on_the_same_port(run: RunProcess, inputs: Path) -> subprocess.CompletedProcess[str]:
    port = run.state["url"].rpartition(":")[2]
    folder = run.folder.path.with_name("second")
    command = andon(*run_arguments(inputs, folder, [f"cluster.http_port={port}"]))
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)


def send_wrong_labels(run: RunProcess) -> dict[str, int]:
    with open_client(run.folder.path, "me") as client:
        task = client.get("/api/v1/tasks/next", params={"wait_s": 20}).raise_for_status().json()
        label = choose_longest(task)
        wrong = {
            "another run": {**label, "run_id": "reviews-2"},
            "another run's task": {**label, "assignment_id": "0199-of-another-run"},
            "no candidate": {**label, "choice": "c-none"},
        }
        answers = {
            name: client.post("/api/v1/labels", json=body).status_code
            for name, body in wrong.items()
        }
        stranger = {"Authorization": "Bearer of-another-run"}
        answers["another run's token"] = client.post(
            "/api/v1/labels", json=label, headers=stranger
        ).status_code
    return answers


def label_with_curl(run: RunProcess) -> str:
    """Give one label by the two requests that examples/README.md shows; return its event id."""
    url = run.state["url"]
    token = (run.folder.tokens / "me").read_text().strip()
    curl = f'curl -s -H "Authorization: Bearer {token}" '
    task = json.loads(shell(curl + f'"{url}/api/v1/tasks/next?wait_s=20"'))
    label = shlex.quote(json.dumps(choose_longest(task)))
    answer = shell(curl + f'-H "Content-Type: application/json" -d {label} "{url}/api/v1/labels"')
    return str(json.loads(answer)["event_id"])


def shell(command: str) -> str:
    return subprocess.check_output(["bash", "-c", command], text=True, timeout=PATIENCE_S)


def listening_addresses(run: RunProcess) -> set[str]:
    return {
        connection.laddr.ip
        for process in {run.process, *run.descendants()}
        for connection in process.net_connections("inet")
        if connection.status == "LISTEN"
    }


def exported_metrics(run: RunProcess) -> str:
    """Scrape what is exported, once there is something of the run's."""
    scraped = [""]

    def has_rows() -> bool:
        with urllib.request.urlopen(run.state["metrics_url"], timeout=PATIENCE_S) as answer:
            scraped.append(answer.read().decode())
        return "ray_andon_time_wall_s" in scraped[-1]

    wait_until(has_rows, "the run's metrics are exported", PATIENCE_S)
    return scraped[-1]
