"""`andon resume`: a run that was killed or stopped ends as if nobody had touched it, bit for bit.

With the reward fixed, lag 0, a seed for each request and one rank, so that there is nothing to
decide but what a checkpoint must hold.
"""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from safetensors.torch import load_file
from torch import Tensor

from cluster.metrics.jsonl_sink import read_metrics
from cluster.run_folder import RunFolder
from cluster.watching.status import describe, read_status
from protocol.labels import PolicyProvenance
from tests.support.beside import written
from tests.support.reward import write_reward_versions
from tests.support.run_process import RunProcess, andon, save_inputs, shared_memory, wait_until

pytestmark = pytest.mark.timeout(1800)

STEPS = 8
BATCH = 16
REPEATABLE = (
    *("run.mode=fixed", "people=[]", f"run.episodes={STEPS * BATCH}", "run.max_policy_lag=0"),
    *("rollouts.seed_requests=true", "rollouts.num_actors=1", "learner.checkpoint.every_steps=1"),
)
OF_TIME = ("time/", "throughput/", "system/", "cord/", "labels/")
"""Metrics that say how long things took, or how often somebody looked."""
TIMED = {"rollout/tokens_per_s", "staleness/reward_lag", "rollout/queue_depth"}

Start = Callable[..., RunProcess]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_inputs(tmp_path_factory.mktemp("inputs"))


@pytest.fixture(scope="module")
def reward(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The reward version that all are trained on."""
    folder = tmp_path_factory.mktemp("reward")
    write_reward_versions(folder, inputs / "policy", 1)
    return folder


@pytest.fixture(scope="module")
def start(inputs: Path, reward: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Start a run that can be repeated, or go on with one; what is left at the end is killed."""
    place, runs = tmp_path_factory.mktemp("runs"), []

    def started(name: str, *options: str) -> RunProcess:
        if (place / name).exists():
            runs.append(RunProcess.resumed(place / name, *options))
        else:
            settings = (*REPEATABLE, f"run.reward={reward}@1")
            runs.append(RunProcess(inputs, place / name, settings))
        return runs[-1]

    yield started
    for run in runs:
        run.kill()


@pytest.fixture(scope="module")
def whole(start: Start) -> RunFolder:
    """A run that nobody interrupted."""
    run = start("whole")
    assert run.wait() == 0, run.output
    return run.folder


def num_steps(run: RunFolder) -> int:
    policies = run.recordings / "policies.jsonl"
    return len(policies.read_text().splitlines()) if policies.exists() else 0


def weights(run: RunFolder) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = load_file(run.policies / "final" / "model.safetensors")
    return tensors


def rows_of_steps(run: RunFolder) -> list[dict[str, float]]:
    """The rows of metrics of all steps, but for what tells the time."""
    return [
        {
            name: value
            for name, value in row.items()
            if not name.startswith(OF_TIME) and name not in TIMED
        }
        for row in read_metrics(run.metrics)
        if "policy/loss" in row
    ]


def rollouts_of(run: RunFolder) -> list[tuple[object, ...]]:
    lines = (run.recordings / "rollouts.jsonl").read_text().splitlines()
    found = [json.loads(line) for line in lines]
    return [(each["step"], each["prompt"], each["text"], each["score"]) for each in found]


def versions(run: RunFolder) -> list[tuple[int, int, int | None]]:
    policies = written(run.ledger, PolicyProvenance)
    return [(each.version, each.episodes, each.restored_from) for each in policies]


def assert_same(run: RunFolder, whole: RunFolder) -> None:
    assert rows_of_steps(run) == rows_of_steps(whole)
    assert sorted(map(repr, rollouts_of(run))) == sorted(map(repr, rollouts_of(whole)))
    assert versions(run) == versions(whole)
    ours, theirs = weights(run), weights(whole)
    assert ours.keys() == theirs.keys()
    assert all(bool((ours[name] == theirs[name]).all()) for name in theirs)
    last, theirs_last = (
        json.loads((each.policies / f"v{STEPS:06d}" / "manifest.json").read_text())
        for each in (run, whole)
    )
    assert last == theirs_last  # weights, moments and random state by their digests; KL coefficient


def wait_for_step(run: RunProcess, step: int) -> None:
    run.wait_for(lambda: num_steps(run.folder) >= step, f"step {step}")
    assert num_steps(run.folder) < STEPS, "it went too far to show anything"


def die(run: RunProcess) -> None:
    """Kill the driver; what it started, weights in memory too, goes by itself."""
    run.process.kill()
    run.process.wait()
    run.wait_for_silence(timeout_s=120)
    wait_until(lambda: shared_memory(run) == [], "no weights in memory", timeout_s=10)
    status = read_status(run.folder.path)
    assert status["state"] == "dead"
    words = f"its driver (process {run.process.pid}) died; last heard at "
    assert words in describe(status, as_json=False)


def kill_learner(run: RunProcess) -> None:
    """Kill a rank of the learner: all parts start again, in the same process."""
    (rank,) = run.named("ray::LearnerRank")
    rank.kill()
    run.wait_for(lambda: "all parts start again" in run.output, "a new start")


def test_a_run_whose_driver_was_killed_ends_elsewhere_as_if_nobody_had_touched_it(
    start: Start, whole: RunFolder
) -> None:
    run = start("touched")
    wait_for_step(run, 2)
    die(run)
    # In another folder, with another number of actors: who draws a response is no matter, as each
    # brings its seed.
    run.folder.path.rename(run.folder.path.with_name("moved"))
    run = start("moved", "--set", "rollouts.num_actors=2")
    assert run.wait() == 0, run.output
    assert run.error_output == ""
    assert_same(run.folder, whole)
    assert run.state["run_id"] == "touched"
    assert len(run.state["resumed_at"]) == 1


@pytest.mark.long
def test_a_run_whose_learner_was_killed_and_that_was_stopped_ends_as_if_nobody_had_touched_it(
    start: Start, whole: RunFolder
) -> None:
    run = start("stopped")
    wait_for_step(run, 1)
    kill_learner(run)
    wait_for_step(run, 4)
    run.process.send_signal(signal.SIGTERM)
    assert run.wait() == 128 + signal.SIGTERM, run.output
    run.wait_for_silence(timeout_s=60)
    assert run.error_output == "andon: stopped\n"
    assert (run.state["state"], run.state["stop_reason"]) == ("stopped", "interrupted by SIGTERM")
    assert (run.folder.report / "index.html").exists()
    run = start("stopped")
    assert run.wait() == 0, run.output
    assert run.error_output == ""
    assert_same(run.folder, whole)


def changed(folder: RunFolder, *arguments: str) -> str:
    ended = subprocess.run(
        andon("resume", str(folder.path), *arguments), capture_output=True, text=True, check=False
    )
    assert ended.returncode == 2
    return ended.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--set", "run.seed=7"], "run.seed of a resumed run must stay"),
        ([], "has trained all its"),
        (["--from", "99"], "no checkpoint of version 99"),
    ],
)
def test_what_cannot_be_resumed_is_refused_by_name(
    whole: RunFolder, arguments: Sequence[str], says: str
) -> None:
    before = whole.state.read_bytes()
    assert says in changed(whole, *arguments)
    assert whole.state.read_bytes() == before
