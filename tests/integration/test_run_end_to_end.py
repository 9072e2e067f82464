"""A whole run of `andon run examples/reviews.toml`, as it is seen from outside."""

from __future__ import annotations

import hashlib
import ipaddress
import json
import re
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import pytest

from cluster.config_file import load_config
from cluster.json_lines import read_rows
from cluster.metrics.lineage_folder import LineageFolder
from cluster.report.records import read_run
from label_queue.folds.view import LearnedLabels
from label_queue.oversight.trace import read_trace
from tests.support.beside import events_written
from tests.support.lineage import numbers, upstream
from tests.support.run_process import shared_memory
from tests.support.wandb_file import read_history, read_records
from tests.support.watched_run import Seen, invoke

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
        *("pretraining_loss_base", "pretraining_loss_final", "alignment_tax_final"),
    }
)
"""Every headline figure that a summary must name."""

UNKNOWN_HERE = {
    "base_model_s",
    "gold_base_mean",
    "gold_base_std",
    "gold_final_mean",
    "labels_acknowledged",
    "pretraining_loss_base",
    "pretraining_loss_final",
    "alignment_tax_final",
}
"""Figures of runs that make their own base model, or whose labelers are simulated, or that
have pretraining text."""

KNOWN_BY_CHANCE = set(VALIDATION)
"""Of so few labels, none may have compared the policy with the base model."""


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
    assert re.fullmatch(
        rf"andon: port {port} on 127\.0\.0\.1 is in use by process \d+ \(ray::IntakeShell.*\): set "
        r"cluster\.http_port to another, or to 0 for a free one\n",
        seen.second_run.stderr,
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
    stored = sorted(event.event_id for event in events_written(seen.run.folder.ledger))
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


def test_the_final_policy_is_a_model_that_has_learned(seen: Seen, reviews_inputs: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    final = seen.run.folder.policies / "final"
    trained = AutoModelForCausalLM.from_pretrained(final).state_dict()
    base = AutoModelForCausalLM.from_pretrained(reviews_inputs / "policy").state_dict()
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


def test_its_artifacts_say_which_labels_made_the_policy_and_where_it_lies(seen: Seen) -> None:
    folder = seen.run.folder
    lineage = LineageFolder.begin(folder.lineage)
    config = load_config(folder.config)
    place = config.labels.ledger_place(folder.ledger)
    traced = read_trace(place, config.labels.quality).of_policy(4)
    behind = upstream(lineage, "policy-4")
    assert set(traced.reward_versions) <= set(numbers(behind, "reward"))
    assert numbers(behind, "checkpoint") == [2, 4]
    labels = LearnedLabels(config.labels.quality)
    view = read_run(folder.path).label_side.view()
    learned = labels.seqs_by_reward(view)[traced.reward_versions[-1]]
    assert max(learned) <= max(numbers(behind, "ledger"))
    for name in behind:
        for each in lineage[name].references:
            there = Path(url2pathname(urlsplit(each.url).path)).read_bytes()
            assert hashlib.sha256(there).hexdigest() == each.sha256, each
    made = {each.name for each in lineage.artifacts if each.kind != "ledger"}
    assert set(lineage.given().names) == made
    logs = list(folder.lineage.glob("wandb/offline-run-*/*.wandb"))
    assert len(logs) == len(made)


def test_prompts_of_both_kinds_were_used(seen: Seen) -> None:
    lines = (seen.run.folder.recordings / "rollouts.jsonl").read_text().splitlines()
    prompts = {json.loads(line)["prompt"] for line in lines}
    assert {"the soup was", "user: we said the fish"} <= prompts
