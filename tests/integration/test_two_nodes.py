"""A run on nodes that share nothing, from start to report; one dies with all that is on it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from click.testing import CliRunner

from cluster.cli import main
from cluster.recordings.streams import POLICIES, RESTARTS, read
from protocol.labels import Submitted
from reward_service.retention import newest_bundle
from tests.support.beside import written
from tests.support.patience import PATIENCE_S
from tests.support.processes import is_alive, name_of
from tests.support.run_process import (
    RunProcess,
    save_inputs,
    wait_until,
)
from tests.support.two_nodes import can_be_apart, two_nodes_started

pytestmark = [
    pytest.mark.timeout(1800),
    pytest.mark.long,
    # Serve's own, when it is imported.
    pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecatedSince20"),
]

ON_BOTH = (
    "rollouts.num_actors=2",
    "run.episodes=65536",
    "labels.total=4096",
    "cluster.restarts.first_pause_s=0.1",
    "learner.checkpoint.every_steps=2",
    # Each step waits for two labels, and leaves the cores to the parts that start again.
    'labelers=[{name = "robot", seconds_per_label = 0.5}]',
)


@dataclass(frozen=True)
class TwoNodes:
    """A running cluster."""

    address: str
    process: psutil.Popen
    are_apart: bool
    """Whether they see none of each other's files."""

    def raylets(self) -> list[psutil.Process]:
        """Return the nodes' own processes, whose children are the actors placed there.

        The head's comes first, on which the run's folder is.
        """
        found = [
            each
            for each in self.process.children(recursive=True)
            if name_of(each) == "raylet" and is_alive(each)
        ]
        return sorted(found, key=lambda each: each.create_time())

    def kill_second(self) -> list[str]:
        """End the node that came last at one blow; return the names of its actors."""
        second = self.raylets()[-1]
        lost = self.actors()[second.pid]
        for process in [*second.children(recursive=True), second]:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        return lost

    def add(self) -> None:
        """Add a node."""
        self.process.stdin.write("one more\n")
        self.process.stdin.flush()

    def actors(self) -> dict[int, list[str]]:
        """Return the names of the actors on each node; idle workers are none."""
        return {
            raylet.pid: [
                name
                for name in map(name_of, raylet.children())
                if name.startswith("ray::")
                and name not in ("ray::IDLE", "ray::DashboardAgent", "ray::RuntimeEnvAgent")
            ]
            for raylet in self.raylets()
        }


@pytest.fixture(scope="module")
def two_nodes() -> Iterator[TwoNodes]:
    # Whoever may have no mount namespaces has nodes that could see each other's files; what goes
    # from one to another goes the same way.
    are_apart = can_be_apart()
    with two_nodes_started("workers", *(["apart"] if are_apart else [])) as (address, process):
        yield TwoNodes(address, process, are_apart)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_inputs(tmp_path_factory.mktemp("inputs"))


def sees(node: psutil.Process, path: Path) -> bool:
    """Whether a node's processes find something at a path."""
    return Path(f"/proc/{node.pid}/root{path}").exists()


def has_checkpoint(run: RunProcess) -> bool:
    """Whether there is one of the whole run, which a resume goes on from."""
    return bool(list(run.folder.checkpoints.glob("v*.json")))


def num_loads(run: RunProcess) -> int:
    loads = run.folder.recordings / "loads.jsonl"
    return len(loads.read_text().splitlines()) if loads.exists() else 0


def test_a_run_uses_nodes_that_share_nothing_outlives_one_and_leaves_the_cluster_as_it_was(
    two_nodes: TwoNodes, inputs: Path, tmp_path: Path
) -> None:
    environment = {"RAY_ADDRESS": two_nodes.address}
    run = RunProcess(inputs, tmp_path / "two-nodes-1", ON_BOTH, environment)
    try:
        run.wait_for(lambda: num_loads(run) >= 2, "weights that reached both nodes twice")
        run.wait_for(lambda: has_checkpoint(run), "a checkpoint that came from another node")
        head, *others = two_nodes.raylets()
        placed = two_nodes.actors()
        there = [placed[node.pid] for node in others]
        for node, actors in zip(others, there, strict=True):
            assert sum(name.startswith("ray::RolloutActorShell") for name in actors) == 1, placed
            assert sees(node, run.folder.path) is not two_nodes.are_apart
            assert sees(node, inputs) is not two_nodes.are_apart
        elsewhere = [name for actors in there for name in actors]
        for part in ("ray::LearnerRank", "ray::RewardTrainerRank", "ray::ServeReplica"):
            assert any(name.startswith(part) for name in elsewhere), placed
        assert sees(head, run.folder.path)
        assert newest_bundle(run.folder.rewards) is not None

        lost = two_nodes.kill_second()
        two_nodes.add()
        before = num_loads(run)
        run.wait_for(lambda: num_loads(run) >= before + 4, f"steps after {placed}")
        from cluster.whole_restarts import WHOLE_RUN  # here, for Serve warns when it is imported

        # Ray chose where the learner is; what cannot go on without it starts again with it.
        has_lost_learner = any(name.startswith("ray::LearnerRank") for name in lost)
        part = WHOLE_RUN if has_lost_learner else "rollout actor"
        restarted = read(run.folder.recordings, RESTARTS)
        assert any(told.part.startswith(part) for told in restarted), run.output

        stopped = CliRunner().invoke(main, ["stop", str(run.folder.path), "--reason", "enough"])
        assert stopped.output == f"{run.folder.path}: stopped\n", run.output
        assert run.wait() == 0, run.output
    finally:
        run.kill()
    check_records(run)
    wait_until(lambda: not any(two_nodes.actors().values()), "an empty cluster", PATIENCE_S)
    assert len(two_nodes.raylets()) == 3


def check_records(run: RunProcess) -> None:
    """Nothing is lost or doubled, and the run's figures keep their bounds."""
    assert run.state["stop_reason"] == "enough"
    labels = written(run.folder.ledger, Submitted)
    assert len({each.assignment_id for each in labels}) == len(labels)
    assert run.state["labels_acknowledged"] == len(labels) > 0
    policies = [each.version for each in read(run.folder.recordings, POLICIES)]
    assert policies == sorted(set(policies))
    summary = json.loads((run.folder.report / "summary.json").read_text())
    assert summary["policy_lag_max"] <= summary["max_policy_lag"]
    assert summary["logprob_mismatch_max"] <= 1e-3
    assert (run.folder.policies / "final" / "model.safetensors").exists()
