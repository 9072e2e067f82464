"""`kill -9` of one part of a real run after another: it goes on, and what it writes is whole."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from contextlib import closing
from pathlib import Path
from signal import SIGKILL, SIGSTOP, Signals
from typing import Any

import psutil
import pytest

from cluster.metrics.jsonl_sink import read_metrics
from cluster.recordings.records import RestartRecord
from cluster.recordings.streams import POLICIES, RESTARTS, REWARDS, ROLLOUTS, Stream, read
from label_queue.folds.view import LedgerView
from label_queue.ledger.sql import SqlLedger
from protocol.labels import LabelEvent, Submitted
from tests.support.patience import PATIENCE_S
from tests.support.processes import line_of
from tests.support.run_process import RunProcess, andon, save_inputs

pytestmark = [pytest.mark.timeout(1800), pytest.mark.long]

MAX_POLICY_LAG, BATCH = 2, 16
LONG = (
    "run.episodes=65536",
    f"ppo.batch_size={BATCH}",
    "learner.checkpoint.every_steps=3",
    "rollouts.num_actors=2",
    "labels.total=4096",
    "labels.initial=6",
    f"run.max_policy_lag={MAX_POLICY_LAG}",
    "cluster.restarts.first_pause_s=0.1",
    "cluster.restarts.silence_timeout_s=15",
    # Each step waits for two labels, and leaves the cores to the parts that start again.
    'labelers=[{name = "robot", seconds_per_label = 0.5}]',
)


STARTED_BY_RAY = (
    "the metrics hub",
    "the label queue",
    "the intake",
    "the reward announcer",
    "the reward's face",
)
KINDS = {
    "the metrics hub": "ray::MetricsShell",
    "the label queue": "ray::LabelQueueShell",
    "the intake": "ray::IntakeShell",
    "the reward announcer": "ray::AnnouncerShell",
    "the reward replica": "-reward:RewardReplica",
    "the reward's face": "ray::RewardFace",
    "Serve's controller": "ray::ServeController",
}
"""What the command line of each holds."""


def restarts(run: RunProcess) -> tuple[RestartRecord, ...]:
    path = RESTARTS.path(run.folder.recordings)
    return read(run.folder.recordings, RESTARTS) if path.exists() else ()


def num_records(run: RunProcess, stream: Stream[Any]) -> int:
    path = stream.path(run.folder.recordings)
    return path.read_bytes().count(b"\n") if path.exists() else 0


def num_steps(run: RunProcess) -> int:
    return num_records(run, POLICIES)


def drawn_by(run: RunProcess, actor_id: str, since: float) -> bool:
    """Whether an actor has drawn some of the last rollouts after a time."""
    lines = ROLLOUTS.path(run.folder.recordings).read_bytes().splitlines(keepends=True)
    last = [json.loads(line) for line in lines[-4 * BATCH :] if line.endswith(b"\n")]
    return any(each["actor_id"] == actor_id and each["started_at"] > since for each in last)


def kill_and_see(run: RunProcess, process: psutil.Process, part: str) -> RestartRecord:
    """Kill a process, and wait until its part, whose name starts so, was started again."""
    before = num_records(run, RESTARTS)
    process.kill()
    run.wait_for(lambda: num_records(run, RESTARTS) > before, f"{part} to be started again")
    told = restarts(run)[-1]
    assert told.part.startswith(part)
    run.wait_for(lambda: f"{told.part} is started again" in run.output, "that to be said")
    return told


def wait_for_return(run: RunProcess, told: RestartRecord) -> None:
    """Wait until an actor that was started again draws what is trained on."""
    actor_id = told.part.split()[-1]
    run.wait_for(lambda: drawn_by(run, actor_id, told.restarted_at), f"{actor_id} to draw")


def wait_for_steps(run: RunProcess, count: int = 4) -> None:
    before = num_steps(run)
    run.wait_for(lambda: num_steps(run) >= before + count, f"{count} more steps")


def actor_of(engine: psutil.Process) -> psutil.Process:
    parent = engine.parent()
    assert parent is not None, "an engine has its actor"
    return parent


def check_records(run: RunProcess) -> None:
    """No version twice, no step or rollout counted twice, none too old, no row doubled."""
    folder = run.folder.recordings
    policies = read(folder, POLICIES)
    numbers = [each.version for each in policies]
    assert numbers == sorted(set(numbers))
    steps = [each.episodes for each in policies if each.restored_from is None]
    assert steps == [BATCH * step for step in range(1, len(steps) + 1)]
    assert sum(each.restored_from is not None for each in policies) <= 1
    rewards = [each.version for each in read(folder, REWARDS)]
    assert rewards == list(range(1, len(rewards) + 1))
    trained = [each for each in read(folder, ROLLOUTS) if each.step]
    assert len({each.rollout_id for each in trained}) == len(trained)
    assert max(each.policy_lag for each in trained) <= MAX_POLICY_LAG
    assert all(each.score is not None for each in trained)
    rows = read_metrics(run.folder.metrics)
    assert [row["policy/episodes"] for row in rows if "policy/loss" in row] == steps
    fits = [row["reward_model/version"] for row in rows if "reward_model/loss" in row]
    assert len(set(fits)) == len(fits)


def check_labels(run: RunProcess) -> None:
    """What the labeler counted as acknowledged is what the ledger holds."""
    ledger = SqlLedger.open_to_read(run.folder.ledger)
    view = LedgerView.of(ledger)
    ledger.close()
    labels = [event.event_id for event in view.events if isinstance(event, Submitted)]
    assert len(set(labels)) == len(labels)
    assert run.state["labels_acknowledged"] == len(labels) > 0
    announced = [policy.version for policy in view.policies]
    assert announced == sorted(set(announced))
    rewards = [reward.version for reward in view.rewards]
    assert rewards == sorted(set(rewards))


def holding(run: RunProcess, sign: str) -> list[psutil.Process]:
    """Return the run's processes whose command line holds a sign."""
    return [each for each in run.descendants() if sign in line_of(each)]


def last_label(run: RunProcess) -> int:
    """Return the place of the ledger's last label."""
    with closing(SqlLedger.open_to_read(run.folder.ledger)) as ledger:
        return ledger.newest(LabelEvent)


def num_labels(run: RunProcess, after: int) -> int:
    """Count the labels after a place."""
    with closing(SqlLedger.open_to_read(run.folder.ledger)) as ledger:
        return sum(1 for _ in ledger.each(Submitted, after))


def kill_and_go_on(run: RunProcess, kind: str, by: Signals = SIGKILL) -> None:
    """Kill a process; wait for another of its kind, and for labels and steps after that."""
    sign = KINDS[kind]
    (victim,) = holding(run, sign)
    victim.send_signal(by)
    run.wait_for(lambda: holding(run, sign) not in ([], [victim]), f"another of {kind}")
    before = last_label(run)
    run.wait_for(lambda: num_labels(run, before) > 3, f"labels after {kind}")
    wait_for_steps(run)


def test_a_run_goes_on_whatever_part_is_killed(tmp_path: Path) -> None:
    run = RunProcess(save_inputs(tmp_path / "inputs"), tmp_path / "run-1", LONG)
    try:
        run.wait_for(lambda: num_steps(run) > 2, "the first steps")
        engines = run.engines()
        assert len(engines) == 2

        # An actor; its engine goes with it, and the other actor draws meanwhile.
        first = kill_and_see(run, actor_of(engines[0]), "rollout actor")
        wait_for_steps(run)

        # While it starts: the labeler, and the reward trainer, which is missed at its next fit.
        (labeler,) = holding(run, "label_queue.simulated")
        kill_and_see(run, labeler, "simulated labeler robot")
        (trainer,) = run.named("ray::RewardTrainerRank")
        fitted = num_records(run, REWARDS)
        kill_and_see(run, trainer, "the reward trainer")
        run.wait_for(
            lambda: num_records(run, REWARDS) > fitted + 1, "rewards of the new reward trainer"
        )
        wait_for_return(run, first)

        # An engine alone.
        assert not engines[0].is_running()
        second = kill_and_see(run, engines[1], "rollout actor")
        assert second.part != first.part
        assert second.cause.startswith("EngineDied")

        # What there is one of: Ray and Serve start it again, and who waits for it waits longer.
        for kind in KINDS:
            kill_and_go_on(run, kind)
        # One that lives and says nothing is ended, and started again as well.
        kill_and_go_on(run, "the label queue", SIGSTOP)
        wait_for_return(run, second)
        # All parts go with the learner, and start again from a checkpoint.
        (learner,) = run.named("ray::LearnerRank")
        learner.kill()
        run.wait_for(lambda: "all parts start again" in run.output, "a new start")
        wait_for_steps(run)
        subprocess.run(andon("stop", str(run.folder.path)), check=True, timeout=PATIENCE_S)
        assert run.wait() == 0, run.output
    finally:
        run.kill()
    assert run.state["state"] == "stopped"
    assert "Traceback" not in run.error_output  # Serve warns of its dead replica
    check_records(run)
    check_labels(run)
    rows = read_metrics(run.folder.metrics)
    told = [each.part for each in restarts(run)]
    assert [row["system/restarts"] for row in rows if "system/restarts" in row][-1] == len(told)
    assert Counter(told[4:]) == {
        **dict.fromkeys(STARTED_BY_RAY, 1),
        "the label queue": 2,
        "the run": 1,
    }
    run.wait_for_silence(timeout_s=10)
