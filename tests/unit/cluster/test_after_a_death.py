"""A run that loses what cannot be replaced: what all its parts go on from."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster.config import RunConfig
from cluster.config_file import parse_config
from cluster.guards.state import GuardsState
from cluster.loops.checkpoints import RunCheckpoint
from cluster.loops.drafting import DrafterState
from cluster.loops.staleness import BoundState
from cluster.run_folder import RunFolder
from cluster.starting.given_reward import adopt, find_bundle
from cluster.starting.lost_work import set_aside
from cluster.starting.resumption import (
    Resumption,
    after_a_death,
    keep_reference,
    kept_version,
    read_resumption,
    run_checkpoints,
)
from label_queue.ledger.sql import SqlLedger
from protocol.errors import NotFinite
from protocol.fits import RewardVersion
from reward_service.retention import newest_bundle, withdraw_bundle
from tests.support.present import present
from tests.support.reward import write_reward_versions
from tests.support.tiny_model import save_tiny_model

pytestmark = pytest.mark.timeout(60)


class Run:
    """A run of which parts die while they start."""

    def __init__(self, path: Path, config: RunConfig) -> None:
        self.folder = RunFolder.create(path)
        self.folder.update_state(run_id=path.name, started_at=0.0, state="stopped")
        keep_reference(self.folder, [])
        SqlLedger.open(self.folder.ledger, path.name).close()
        self.config = config

    def keep(self, version: int) -> None:
        (self.folder.policies / f"v{version:06d}").mkdir(parents=True)
        checkpoint = RunCheckpoint(
            policy_version=version,
            episodes=8 * version,
            bound=BoundState(version=version),
            drafter=DrafterState(),
            num_prompts=0,
            guards=GuardsState(),
            least_reward_version=0,
            ledger_seq_of_reward={},
            num_unscored=0,
        )
        run_checkpoints(self.folder).write(checkpoint)

    def lose_a_part(self) -> Resumption | None:
        self.config, resumption = after_a_death(self.config, self.folder)
        return resumption

    def reward(self) -> int:
        """Return the version of the given reward, as a start takes it."""
        return adopt(find_bundle(str(self.config.run.reward)), self.folder.rewards).version


def make_config(**run: object) -> RunConfig:
    return parse_config(
        {
            "people": [] if run else ["ann"],
            "run": {"episodes": 1024, **run},
            "prompts": {"source": "reviews"},
            "policy": {"path": "model"},
            "labels": {"total": 1000},
            "cluster": {"restarts": {"first_pause_s": 0.01}},
        },
        "test",
    )


def test_what_it_was_told_to_go_on_from_it_goes_on_from(tmp_path: Path) -> None:
    run = Run(tmp_path / "run-1", make_config())
    for version in (0, 10, 20):
        run.keep(version)
    chosen = read_resumption(run.folder, run.config, 10)
    set_aside(run.folder, kept_version(chosen))
    for resumption in (chosen, run.lose_a_part(), run.lose_a_part()):
        assert resumption is not None
        assert (kept_version(resumption), resumption.publish_as) == (10, 21)


def test_a_given_reward_stays_though_the_run_it_was_copied_from_goes_on(tmp_path: Path) -> None:
    written, other = tmp_path / "written", tmp_path / "other"
    write_reward_versions(written, save_tiny_model(tmp_path / "model"), 2)
    other.mkdir()
    (written / "v000001").rename(other / "v000001")
    run = Run(tmp_path / "run-1", make_config(mode="fixed", reward=str(other)))
    assert run.reward() == 1
    (written / "v000002").rename(other / "v000002")
    (other / "v000001").rename(tmp_path / "gone")
    for _ in range(2):
        run.lose_a_part()
        assert run.reward() == 1
    assert [each.name for each in run.folder.rewards.iterdir()] == ["v000001"]


def test_a_reward_that_nobody_was_told_of_is_no_served_one(tmp_path: Path) -> None:
    run = Run(tmp_path / "run-1", make_config())
    run.keep(0)
    model = save_tiny_model(tmp_path / "model")
    made = write_reward_versions(run.folder.rewards.resolve(), model, 3)
    assert rewards(run.lose_a_part()) == (None, [1, 2, 3])
    tell_of(run, made[0])
    assert rewards(run.lose_a_part()) == (1, [2, 3])
    withdraw_bundle(Path(made[2].path), NotFinite("it scores NaN"))
    assert rewards(run.lose_a_part()) == (1, [2])
    withdraw_bundle(Path(made[1].path), NotFinite("its update scores NaN"))
    assert rewards(run.lose_a_part()) == (1, [])


@pytest.mark.parametrize(
    ("damaged", "offered", "next_from"), [(2, [], 1), (3, [2], 2), (4, [2, 3], 3)]
)
def test_a_reward_that_nobody_was_told_of_and_that_is_damaged_is_made_again(
    tmp_path: Path, damaged: int, offered: list[int], next_from: int
) -> None:
    run = Run(tmp_path / "run-1", make_config())
    run.keep(0)
    root = run.folder.rewards.resolve()
    made = write_reward_versions(root, save_tiny_model(tmp_path / "model"), 4)
    tell_of(run, made[0])
    (Path(made[damaged - 1].path) / "manifest.json").write_text("{")
    for _ in range(2):
        assert rewards(run.lose_a_part()) == (1, offered)
    assert newest_bundle(root) == root / f"v{next_from:06d}"


def tell_of(run: Run, version: RewardVersion) -> None:
    """Write in a run's ledger that every replica serves a version."""
    ledger = SqlLedger.open(run.folder.ledger, run.folder.run_id)
    ledger.write([version])
    ledger.close()


def rewards(resumption: Resumption | None) -> tuple[int | None, list[int]]:
    """The version that is served from the start, and those that are offered."""
    found = present(resumption)
    served = None if found.reward is None else found.reward.version
    return served, [each.version for each in found.unserved]
