"""A run that is ended from outside or loses a part: nothing is left, and it says what happened."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from cluster.commands.exit_codes import EXIT_PART_FAILED
from tests.support.outside_labeler import OutsideLabeler
from tests.support.run_process import RunProcess, save_inputs, shared_memory

pytestmark = pytest.mark.timeout(400)

LONG = ("run.episodes=4096", "labels.total=64")
"""More than a test waits for."""

LABELER = 'labelers=[{name = "robot", seconds_per_label = 0.05}]'

RAY_AGENTS = {"ray::DashboardAgent", "ray::RuntimeEnvAgent"}
"""Ray's own processes that, when their node is killed, call for a minute before they give up."""

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


def named(run: RunProcess, name: str) -> list[psutil.Process]:
    # The kernel keeps 15 characters; the rest is read elsewhere, and not always to be had.
    start = name[:15]
    return [process for process in run.descendants() if process.name().startswith(start)]


def assert_interrupted(run: RunProcess) -> None:
    assert run.wait(timeout_s=45) == 130, run.output
    assert run.error_output == "andon: stopped\n"
    assert (run.state["state"], run.state["stop_reason"]) == ("stopped", "interrupted")
    run.wait_for_silence(timeout_s=5)
    assert shared_memory(run) == []


def test_a_run_that_is_told_to_end_while_it_trains(start: Start) -> None:
    run = start(LABELER)
    wait_for_training(run)
    assert shared_memory(run)
    run.process.terminate()
    assert_interrupted(run)


def test_ctrl_c_while_the_parts_are_starting(start: Start) -> None:
    run = start()
    run.wait_for(lambda: bool(named(run, "ray::LearnerRank")), "a part that starts")
    run.process.send_signal(signal.SIGINT)
    assert_interrupted(run)


def test_nothing_outlives_a_driver_that_is_killed(start: Start) -> None:
    run = start(LABELER)
    wait_for_training(run)
    assert named(run, "VLLM::EngineCore"), f"{run.descendants()}\n{run.output}"
    run.process.kill()
    run.process.wait()
    run.wait_for_silence(timeout_s=20, but=RAY_AGENTS)


def test_a_run_whose_engine_dies_and_that_may_start_none_again_says_so_and_ends(
    start: Start,
) -> None:
    run = start("cluster.restarts.max_restarts=0")
    run.wait_for_state("running")
    labeler = OutsideLabeler(run.folder.path)
    labeler.start()
    wait_for_training(run)
    (engine, *_) = named(run, "VLLM::EngineCore")
    engine.kill()
    assert run.wait(timeout_s=60) == EXIT_PART_FAILED, run.output
    labeler.stop()
    assert run.error_output == "andon: the vLLM engine core died: its log names the cause\n"
    assert run.state["state"] == "failed"
    assert run.state["error"].startswith("EngineDied: the vLLM engine core died")
    assert "EngineDied" in (run.folder.logs / "error.txt").read_text()
    run.wait_for_silence(timeout_s=5)
