"""A rank of the learner is killed in a run: all of it goes on from a checkpoint by itself."""

from __future__ import annotations

import json
from collections.abc import Iterator

import psutil
import pytest

from cluster.metrics.jsonl_sink import read_metrics
from cluster.recordings.streams import RESTARTS, read
from cluster.run_folder import RunFolder
from label_queue.folds.view import LedgerView
from label_queue.ledger.sql import SqlLedger
from protocol.labels import LabelChange
from tests.support.run_process import RunProcess, save_inputs

pytestmark = pytest.mark.timeout(900)

BATCH, STEPS = 16, 12
SETTINGS = (
    'labelers=[{name = "robot", seconds_per_label = 0.05}]',
    *(f"run.episodes={STEPS * BATCH}", "learner.checkpoint.every_steps=3", "labels.total=40"),
    "cluster.restarts.first_pause_s=0.1",
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunProcess]:
    inputs = save_inputs(tmp_path_factory.mktemp("inputs"))
    run = RunProcess(inputs, tmp_path_factory.mktemp("runs") / "run-1", SETTINGS)
    try:
        run.wait_for(lambda: len(versions(run.folder)) > 4, "step 4")
        (rank,) = (p for p in run.descendants() if name_of(p).startswith("ray::LearnerRan"))
        rank.kill()
        assert run.wait(timeout_s=600) == 0, run.output
        yield run
    finally:
        run.kill()


def name_of(process: psutil.Process) -> str:
    try:
        return process.name()
    except psutil.NoSuchProcess:
        return ""


def versions(folder: RunFolder) -> list[tuple[int, int, int | None]]:
    path = folder.recordings / "policies.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    found = [json.loads(line) for line in lines]
    return [(each["version"], each["episodes"], each["restored_from"]) for each in found]


def test_the_run_ends_as_it_should(run: RunProcess) -> None:
    assert run.state["state"] == "finished"
    assert "all parts start again, from the checkpoint of v" in run.output
    assert run.error_output == ""
    assert versions(run.folder)[-1][1] == STEPS * BATCH


def test_it_is_on_record_that_all_parts_were_started_again(run: RunProcess) -> None:
    told = read(run.folder.recordings, RESTARTS)
    assert [each.part for each in told] == ["the run"]
    assert told[0].cause.startswith("ActorDied: the learner died")
    rows = read_metrics(run.folder.metrics)
    assert [row["system/restarts"] for row in rows if "system/restarts" in row][-1] == 1


def test_every_step_counts_once(run: RunProcess) -> None:
    counted = versions(run.folder)
    numbers = [version for version, _, _ in counted]
    assert numbers == sorted(set(numbers))
    trained = [episodes for _, episodes, restored_from in counted if restored_from is None]
    assert trained == [BATCH * step for step in range(1, STEPS + 1)]
    rows = [row for row in read_metrics(run.folder.metrics) if "policy/loss" in row]
    assert [row["policy/episodes"] for row in rows] == trained


def test_the_ledger_never_went_back(run: RunProcess) -> None:
    ledger = SqlLedger.open_to_read(run.folder.ledger)
    try:
        view = LedgerView.of(ledger)
    finally:
        ledger.close()
    announced = [policy.version for policy in view.policies]
    assert announced == sorted(set(announced))
    restored = [policy for policy in view.policies if policy.restored_from is not None]
    assert len(restored) <= 1
    labels = [event for event in view.events if isinstance(event, LabelChange)]
    assert run.state["labels_acknowledged"] == len(labels)
    rewards = [reward.version for reward in view.rewards]
    assert rewards == sorted(set(rewards))
