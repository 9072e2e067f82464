"""A whole run of `andon run examples/reviews.toml`: inputs made here, labels by HTTP alone."""

from __future__ import annotations

import ipaddress
import json
import re
import shlex
import subprocess
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from cluster.cli import main
from cluster.json_lines import read_rows
from label_queue.ledger.sql import SqlLedger
from tests.support.outside_labeler import OutsideLabeler, choose_longest, open_client
from tests.support.patience import PATIENCE_S
from tests.support.run_process import (
    RunProcess,
    andon,
    run_arguments,
    save_inputs,
    shared_memory,
    wait_until,
)
from tests.support.wandb_file import read_history, read_records

pytestmark = pytest.mark.timeout(1800)

VALIDATION = tuple(
    f"validation_winrate{of}{which}" for of in ("", "_recent") for which in ("", "_low", "_high")
)
FIGURES = frozenset(
    {
        *("wall_s", "base_model_s", "peak_memory_bytes", "episodes", "seed", "mode", "versions"),
        *("labels_acknowledged", "labels_in_ledger", "reward_refits", "reward_versions"),
        *("gold_base_mean", "gold_base_std", "gold_final_mean", "kl_final_mean", "kl_target"),
        *("coverage_median", "label_to_policy_latency_p50_s", "label_to_policy_latency_p95_s"),
        *("policy_lag_max", "max_policy_lag", "logprob_mismatch_max"),
        *VALIDATION,
        *("episodes_per_s", "learner_idle", "actor_idle"),
    }
)
"""Every headline figure that a summary must name."""

UNKNOWN_HERE = {
    "base_model_s",
    "gold_base_mean",
    "gold_base_std",
    "gold_final_mean",
    "labels_acknowledged",
}
"""Figures of runs that make their own base model, or whose labelers are simulated."""

KNOWN_BY_CHANCE = set(VALIDATION)
"""Of so few labels, none may have compared the policy with the base model."""


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


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_inputs(tmp_path_factory.mktemp("inputs"))


@pytest.fixture(scope="module")
def seen(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    """One run from start to end, watched from outside."""
    folder = tmp_path_factory.mktemp("runs") / "reviews-1"
    run = RunProcess(inputs, folder, ["metrics.prometheus=true"])
    try:
        yield watch(run, inputs)
    finally:
        run.kill()


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
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


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
    return subprocess.check_output(["bash", "-c", command], text=True, timeout=60)


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


def test_it_ends_by_itself(seen: Seen) -> None:
    assert seen.code == 0, seen.run.output
    assert seen.run.error_output == ""
    assert re.search(r"^ρ ended \d+ of \d+ responses, by the cut token '\.'", seen.run.output, re.M)
    assert seen.run.state["state"] == "finished"
    assert "error" not in seen.run.state


def test_nothing_is_left_running(seen: Seen) -> None:
    seen.run.wait_for_silence(timeout_s=10)
    assert shared_memory(seen.run) == []


def test_its_metrics_could_be_scraped(seen: Seen) -> None:
    (line,) = [
        each for each in seen.exported.splitlines() if each.startswith("ray_andon_time_wall_s")
    ]
    assert f'run="{seen.run.folder.run_id}"' in line
    assert f"Prometheus scrapes {seen.run.state['metrics_url']}; " in seen.run.output


def test_status_tells_of_a_run_that_goes_on(seen: Seen) -> None:
    assert seen.status["state"] == "running"
    assert seen.status["pid"] == seen.run.process.pid
    assert (
        invoke("status", str(seen.run.folder.path))
        .splitlines()[0]
        .endswith(": finished (online, seed 1)")
    )


def test_every_process_listens_on_loopback_only(seen: Seen) -> None:
    assert "127.0.0.1" in seen.listening, "the HTTP face, at least"
    addresses = {ipaddress.ip_address(at.removeprefix("::ffff:")) for at in seen.listening}
    assert {at for at in addresses if not at.is_loopback} == set()


def test_a_second_run_on_the_same_port_is_refused_at_once(seen: Seen) -> None:
    port = seen.run.state["url"].rpartition(":")[2]
    assert seen.second_run.returncode == 2
    assert seen.second_run.stderr == (
        f"andon: port {port} on 127.0.0.1 is in use: set cluster.http_port to another, or to 0 for "
        "a free one\n"
    )
    assert not seen.run.folder.path.with_name("second").exists()


def test_labels_that_are_not_of_this_run_are_refused(seen: Seen) -> None:
    assert seen.answers == {
        "another run": 422,
        "another run's task": 422,
        "no candidate": 422,
        "another run's token": 401,
    }


def test_the_ledger_holds_the_acknowledged_labels_and_no_other(seen: Seen) -> None:
    ledger = SqlLedger.open_to_read(seen.run.folder.ledger)
    stored = sorted(event.event_id for event in ledger.events())
    ledger.close()
    assert stored == sorted(seen.acknowledged)
    assert len(stored) == seen.summary["labels_in_ledger"] >= 6


def test_the_summary_names_every_figure(seen: Seen) -> None:
    summary = seen.summary
    assert summary.keys() >= FIGURES
    unknown = {name for name in FIGURES if summary[name] is None}
    assert unknown - KNOWN_BY_CHANCE == UNKNOWN_HERE
    assert unknown <= summary["unknown"].keys()
    assert summary["episodes"] == 64
    assert live_figures(seen) == {
        "online/coverage": summary["coverage_median"],
        "online/label_to_policy_latency_p50": summary["label_to_policy_latency_p50_s"],
        "online/label_to_policy_latency_p95": summary["label_to_policy_latency_p95_s"],
        "labels/accepted": summary["labels_in_ledger"],
    }
    assert summary["reward_refits"] >= 1
    assert summary["reward_versions"] >= summary["reward_refits"]
    assert 0 <= summary["policy_lag_max"] <= summary["max_policy_lag"] == 2
    assert summary["logprob_mismatch_max"] <= 1e-3


def live_figures(seen: Seen) -> dict[str, float | None]:
    """What the metrics said last."""
    last: dict[str, float] = {}
    for line in seen.run.folder.metrics.read_text().splitlines():
        last.update(json.loads(line))
    online = ("coverage", "label_to_policy_latency_p50", "label_to_policy_latency_p95")
    return {name: last.get(name) for name in (*(f"online/{n}" for n in online), "labels/accepted")}


def test_versions_rise_by_one(seen: Seen) -> None:
    folder = seen.run.folder
    for stream, count in (("policies", 4), ("rewards", seen.summary["reward_versions"])):
        lines = (folder.recordings / f"{stream}.jsonl").read_text().splitlines()
        versions = [json.loads(line)["version"] for line in lines]
        assert versions == list(range(1, count + 1)), stream
    # A fit under way when the run ends may still write its bundle: the next version, unannounced.
    bundles = len(list(folder.rewards.glob("v*")))
    assert bundles - seen.summary["reward_versions"] in (0, 1)


def test_the_report_is_one_page_and_can_be_written_again(seen: Seen) -> None:
    page = seen.run.folder.report / "index.html"
    content = page.read_text()
    assert content.count("data:image/png;base64,") == len(list(page.parent.glob("*.png")))
    assert "http://" not in content
    assert invoke("report", str(seen.run.folder.path)) == f"report: {page}\n"


def test_the_final_policy_is_a_model_that_has_learned(seen: Seen, inputs: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    final = seen.run.folder.policies / "final"
    trained = AutoModelForCausalLM.from_pretrained(final).state_dict()
    base = AutoModelForCausalLM.from_pretrained(inputs / "policy").state_dict()
    assert trained.keys() == base.keys()
    changed = {name for name in base if not trained[name].equal(base[name])}
    assert "transformer.wte.weight" in changed
    tokenizer = AutoTokenizer.from_pretrained(final)
    assert tokenizer("the soup was")["input_ids"]
    assert tokenizer.chat_template


def test_wandb_has_the_run_offline(seen: Seen) -> None:
    logs = sorted(seen.run.folder.wandb.glob("offline-run-*/*.wandb"))
    rows = [row for log in logs for row in read_history(log)]
    assert [row["policy/step"] for row in rows if "policy/loss" in row] == [1, 2, 3, 4]
    assert rows == read_rows(seen.run.folder.metrics)
    shown = {
        item.key
        for record in read_records(logs[-1])
        if record.HasField("summary")
        for item in record.summary.update
    }
    assert {"report/pictures", "report/responses", "report/labelers"} <= shown


def test_prompts_of_both_kinds_were_used(seen: Seen) -> None:
    lines = (seen.run.folder.recordings / "rollouts.jsonl").read_text().splitlines()
    prompts = {json.loads(line)["prompt"] for line in lines}
    assert {"the soup was", "user: we said the fish"} <= prompts
