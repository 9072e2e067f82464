"""`andon demo`, made small, in its offline mode, and in odd surroundings.

Every path holds every printable character, the proxies lead nowhere, it listens on IPv6's loopback
and has a public address, and its labeler's name and its own are at the edge of the rule.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from cluster.cli import main
from label_queue.exchange.imports import import_file
from protocol.bearer import REWARD_TOKEN
from protocol.names import is_run_id, run_id_of
from tests.support.beside import events_written
from tests.support.labels import answers
from tests.support.odd_names import EVERY_CHARACTER, OTHER_CHARACTERS
from tests.support.patience import PATIENCE_S
from tests.support.run_process import RunProcess, set_options

pytestmark = pytest.mark.timeout(1800)

SMALL = (
    "run.episodes=256",
    "base_model.num_texts=1500",
    "ppo.batch_size=32",
    "rollouts.num_actors=1",
    "reward_model.num_normalisation_samples=32",
    "labels.total=48",
    "labels.initial=16",
    "labels.ahead=4",
    "labels.refits=2",
    # Half of a small number of queries, so that some compare the policy with the base model.
    "labels.validation_share=0.5",
)
PRAISE = "very good and the staff were kind . i loved the soup ."
BLAMES = tuple(
    f"very bad and the staff were rude . i hated the {dish} ." for dish in ("soup", "fish", "tea")
)
"""So far apart that the labeler, who chooses by chance, never errs: who errs is suspended."""
LABELER = "a.b_c@d:e+f-1"
NOWHERE = "127.0.0.1:1"
PROXIES = {
    "http_proxy": f"http://{NOWHERE}",
    "https_proxy": f"http://{NOWHERE}",
    "grpc_proxy": f"http://{NOWHERE}",
    "ALL_PROXY": f"socks5://{NOWHERE}",
    "no_proxy": "example.org",
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of an odd name, with guidelines and gold in it."""
    place = tmp_path_factory.mktemp("odd") / EVERY_CHARACTER
    place.mkdir()
    (place / "guide.md").write_text("# Prefer the longer one\n")
    gold = {"prompt": "the soup was", "candidates": [PRAISE, *BLAMES], "answer": 0}
    (place / "gold.jsonl").write_text(json.dumps(gold) + "\n")
    return place


@pytest.fixture(scope="module")
def run(place: Path) -> Iterator[RunProcess]:
    """The demo, at its good end."""
    settings = (
        *SMALL,
        f'labelers=[{{name="{LABELER}",seconds_per_label=0.01}}]',
        f"labels.guidelines={place / 'guide.md'}",
        f"labels.quality.gold.path={place / 'gold.jsonl'}",
        "cluster.http_host=::1",
        "cluster.public_url=https://label.example.org/run-a",
    )
    asked = ("demo", "--mode", "offline", "--seed", "5", "--folder", OTHER_CHARACTERS)
    command = [*asked, *set_options(settings)]
    run = RunProcess.started(place / OTHER_CHARACTERS, command, PROXIES)
    try:
        assert run.wait(2 * PATIENCE_S) == 0, run.output
        yield run
    finally:
        run.kill()


@pytest.fixture(scope="module")
def summary(run: RunProcess) -> dict[str, Any]:
    return dict(json.loads((run.folder.report / "summary.json").read_text()))


def test_it_ends_well_and_makes_its_base_model(run: RunProcess) -> None:
    assert run.error_output == ""
    assert f"{OTHER_CHARACTERS}: finished" in run.answer
    assert run.state["state"] == "finished"
    assert any((run.folder.path.parent / "runs").glob("base-model-*/model.safetensors"))


def test_every_label_the_labelers_saw_acknowledged_is_in_the_ledger(
    summary: dict[str, Any],
) -> None:
    assert summary["labels_acknowledged"] == summary["labels_in_ledger"] >= 48


def test_offline_collects_all_labels_first_and_freezes_the_reward(summary: dict[str, Any]) -> None:
    assert summary["mode"] == "offline"
    assert (summary["reward_refits"], summary["reward_versions"]) == (1, 1)
    assert summary["episodes"] == 256


def test_the_report_knows_the_hidden_score_and_where_the_run_came_from(
    summary: dict[str, Any],
) -> None:
    assert summary["seed"] == 5
    assert summary["base_model_s"] > 0
    assert summary["gold_base_std"] > 0
    assert summary["gold_final_mean"] is not None
    assert summary["policy_lag_max"] <= summary["max_policy_lag"]
    assert summary["logprob_mismatch_max"] <= 1e-3


def test_its_addresses_and_its_name_are_those_it_was_given(run: RunProcess) -> None:
    state = run.state
    assert state["url"].startswith("http://[::1]:")
    assert state["pages_url"] == "https://label.example.org/run-a"
    assert (run.folder.tokens / REWARD_TOKEN).stat().st_mode & 0o777 == 0o600
    assert state["run_id"] == run_id_of(run.folder.path)
    assert is_run_id(state["run_id"])


def test_the_labels_are_in_the_run_and_nowhere_else(run: RunProcess, place: Path) -> None:
    events = events_written(run.folder.ledger)
    assert len(events) == run.state["labels_acknowledged"] >= 48
    assert {event.labeler_id for event in answers(events)} == {LABELER}
    ledgers = [path for path in place.parent.rglob("*sqlite*") if path.suffix == ".sqlite"]
    assert ledgers == [run.folder.ledger]
    assert (run.folder.report / "index.html").is_file()
    assert list(run.folder.wandb.glob("offline-run-*/run-*.wandb"))

    out = place / f"{OTHER_CHARACTERS}.jsonl"
    exported = CliRunner().invoke(
        main, ["export", str(run.folder.path), "--format", "andon", "--out", str(out)]
    )
    assert exported.exit_code == 0, exported.output
    copy = import_file(out, place / f"copy of {OTHER_CHARACTERS}.sqlite", at_time=0.0)
    assert (copy.run_id, copy.num_events) == (run.state["run_id"], len(events))
