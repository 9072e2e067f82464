"""A run that is ended from outside or loses a part: nothing is left, and it says what happened."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cluster.commands.exit_codes import EXIT_PART_FAILED
from protocol.labels import Submitted
from tests.support.beside import written
from tests.support.outside_labeler import OutsideLabeler
from tests.support.patience import PATIENCE_S
from tests.support.run_process import RunProcess, andon, save_inputs, shared_memory, wait_until

pytestmark = pytest.mark.timeout(1800)

LONG = ("run.episodes=4096", "labels.total=64")
"""More than a test waits for."""

LABELER = 'labelers=[{name = "robot", seconds_per_label = 0.05}]'

UNHURRIED = "cluster.stop_s=90"
"""Of the promise only that it ends well is tested here: the machine may be busy with others."""

Start = Callable[..., RunProcess]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_inputs(tmp_path_factory.mktemp("inputs"))


@pytest.fixture
def start(inputs: Path, tmp_path: Path) -> Iterator[Start]:
    """Start a long run; whatever is left of it at the end of the test is killed."""
    runs: list[RunProcess] = []

    def started(*settings: str) -> RunProcess:
        runs.append(RunProcess(inputs, tmp_path / "run-1", (*LONG, *settings)))
        return runs[-1]

    yield started
    for run in runs:
        run.kill()


def wait_for_training(run: RunProcess) -> None:
    policies = run.folder.recordings / "policies.jsonl"
    run.wait_for(policies.exists, "the first PPO step")


def assert_stopped(run: RunProcess, number: int) -> None:
    """The run ends by the signal that was just sent, tells all, and leaves nothing."""
    sent_at = time.monotonic()
    assert run.wait() == 128 + number, run.output
    print(f"ended {time.monotonic() - sent_at:.1f} s after {signal.Signals(number).name}")  # noqa: T201
    assert run.error_output == "andon: stopped\n"
    state = run.state
    stopped = ("stopped", f"interrupted by {signal.Signals(number).name}")
    assert (state["state"], state["stop_reason"]) == stopped
    assert state["ended_at"] > state["started_at"]
    assert (run.folder.report / "index.html").exists()
    run.wait_for_silence(timeout_s=10)
    wait_until(lambda: shared_memory(run) == [], "no weights in memory", timeout_s=10)


def assert_ledger_is_whole(run: RunProcess) -> int:
    """Every label that the labeler saw acknowledged is in the ledger; return how many there are."""
    kept = len(written(run.folder.ledger, Submitted))
    report = run.folder.logs / "labeler-robot.json"
    seen = json.loads(report.read_text())["acknowledged"] if report.exists() else 0
    assert kept >= seen
    return kept


def test_a_run_whose_whole_group_is_told_to_end_while_it_trains(start: Start) -> None:
    run = start(LABELER, UNHURRIED)
    wait_for_training(run)
    assert shared_memory(run)
    run.signal_group(signal.SIGTERM)
    assert_stopped(run, signal.SIGTERM)
    assert (run.folder.policies / "final").is_dir()
    assert assert_ledger_is_whole(run) > 0


@pytest.mark.long
def test_ctrl_c_while_the_parts_are_starting(start: Start) -> None:
    run = start(UNHURRIED)
    run.wait_for(lambda: bool(run.named("ray::LearnerRank")), "a part that starts")
    run.signal_group(signal.SIGINT)
    assert_stopped(run, signal.SIGINT)


@pytest.mark.long
def test_a_group_that_is_told_to_end_while_the_parts_are_starting(start: Start) -> None:
    run = start(UNHURRIED)
    run.wait_for(lambda: bool(run.named("ray::")), "Ray's first process")
    run.signal_group(signal.SIGTERM)
    assert_stopped(run, signal.SIGTERM)


@pytest.mark.long
def test_a_driver_that_alone_is_told_to_end_while_it_saves_ends_as_it_would_have(
    start: Start,
) -> None:
    run = start(LABELER, UNHURRIED, "run.episodes=32")
    run.wait_for(lambda: run.state.get("activity") == "saving the policy", "the saving")
    run.process.send_signal(signal.SIGHUP)
    assert run.wait() in (0, 128 + signal.SIGHUP), run.output
    assert run.state["state"] in ("finished", "stopped")
    assert (run.folder.policies / "final").is_dir()
    assert (run.folder.report / "index.html").exists()
    run.wait_for_silence(timeout_s=10)


@pytest.mark.long
def test_a_rollout_actor_that_hangs_does_not_keep_a_run_from_stopping(start: Start) -> None:
    run = start(LABELER)
    wait_for_training(run)
    (actor, *_) = run.named("ray::RolloutAct")
    actor.suspend()
    asked_at = time.monotonic()
    stopped = subprocess.run(
        andon("stop", str(run.folder.path), "--reason", "it hangs"),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=True,
    )
    print(f"ended {time.monotonic() - asked_at:.1f} s after it was asked")  # noqa: T201
    assert stopped.stdout == f"{run.folder.path}: stopped\n"
    run.wait()
    assert run.state["state"] == "stopped"
    assert run.state["stop_reason"].startswith("it hangs")
    run.wait_for_silence(timeout_s=20)
    wait_until(lambda: shared_memory(run) == [], "no weights in memory", timeout_s=10)


@pytest.mark.long
def test_a_driver_that_does_not_react_is_killed_when_it_is_to_stop_now(start: Start) -> None:
    run = start()
    run.wait_for(lambda: bool(run.named("ray::LearnerRank")), "a part that starts")
    run.process.suspend()
    command = andon("stop", str(run.folder.path), "--now", "--timeout", "2")
    subprocess.run(command, check=True, timeout=PATIENCE_S)
    run.process.wait()
    assert run.state["state"] == "stopped"
    assert run.state["stop_reason"].endswith("killed: it did not react for 2 s")
    run.wait_for_silence(timeout_s=20)


@pytest.mark.long
def test_a_run_whose_engine_dies_and_that_may_start_none_again_says_so_and_ends(
    start: Start,
) -> None:
    run = start("cluster.restarts.max_restarts=0")
    run.wait_for_state("running")
    labeler = OutsideLabeler(run.folder.path)
    labeler.start()
    wait_for_training(run)
    (engine, *_) = run.engines()
    engine.kill()
    assert run.wait() == EXIT_PART_FAILED, run.output
    labeler.stop()
    assert run.error_output == "andon: the vLLM engine core died: its log names the cause\n"
    assert run.state["state"] == "failed"
    assert run.state["error"].startswith("EngineDied: the vLLM engine core died")
    assert "EngineDied" in (run.folder.logs / "error.txt").read_text()
    run.wait_for_silence(timeout_s=5)
