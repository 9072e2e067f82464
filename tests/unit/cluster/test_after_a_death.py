"""A run that loses what cannot be replaced: what all its parts go on from."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster.config import RunConfig
from cluster.config_file import parse_config
from cluster.starting.given_reward import adopt, find_bundle
from cluster.starting.lost_work import set_aside
from cluster.starting.resumption import (
    Resumption,
    after_a_death,
    kept_version,
    read_resumption,
)
from protocol.errors import NotFinite
from reward_service.retention import newest_bundle, withdraw_bundle
from tests.support.kept_run import KeptRun
from tests.support.present import present
from tests.support.reward import write_reward_versions
from tests.support.tiny_model import save_tiny_model

pytestmark = pytest.mark.timeout(60)


class Run(KeptRun):
    """A run of which parts die while they start."""

    def __init__(self, path: Path, config: RunConfig) -> None:
        super().__init__(path, num_labels=40)
        self.config = config

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
    run.write([made[0]])  # every replica serves it
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
    run.write([made[0]])  # every replica serves it
    (Path(made[damaged - 1].path) / "manifest.json").write_text("{")
    for _ in range(2):
        assert rewards(run.lose_a_part()) == (1, offered)
    assert newest_bundle(root) == root / f"v{next_from:06d}"


def rewards(resumption: Resumption | None) -> tuple[int | None, list[int]]:
    """The version that is served from the start, and those that are offered."""
    found = present(resumption)
    served = None if found.reward is None else found.reward.version
    return served, [each.version for each in found.unserved]
