"""The files of a run's checkpoints: whole or not there, and never without their learner's part."""

from __future__ import annotations

import errno
import json
from dataclasses import replace
from pathlib import Path

import pytest

from cluster.guards.kl_sign import KLSignState
from cluster.guards.state import GuardsState
from cluster.loops.checkpoints import RunCheckpoint, RunCheckpoints
from cluster.loops.drafting import DrafterState
from cluster.loops.staleness import BoundState
from protocol.errors import BundleCorrupt, MissingError, ResourceError
from protocol.text_tree import NodeSummary, TreesState
from tests.support.messages import make_request, make_rollout, make_scored


def make_checkpoint(version: int) -> RunCheckpoint:
    return RunCheckpoint(
        policy_version=version,
        episodes=8 * version,
        bound=BoundState(
            version=version,
            num_skipped=1,
            left_behind=((3, 4),),
            num_trained=8 * version,
            num_refused=2,
            undrawn=((9, make_request(9)),),
            unscored=((8, make_rollout(make_request(8), version)),),
            scored=((7, make_scored(make_rollout(make_request(7), version), 0.1 + 0.2)),),
        ),
        drafter=DrafterState(
            num_requests={"train": 12, "query": 3},
            num_prompts=5,
            num_resumed=1,
            trees=TreesState(next_document=1, next_leaf=0),
        ),
        num_prompts=12,
        guards=GuardsState(kl_sign=KLSignState(), num_trips=2),
        least_reward_version=1,
        ledger_seq_of_reward={1: 40, 2: 73},
        num_unscored=3,
        trees=TreesState(
            next_document=4,
            next_leaf=2,
            ready=((2, 6), (3, 0)),
            handed_out=(("b/1", 2, 5),),
            summaries=(NodeSummary(document=2, node=1, text="so.", policy_versions=(3, 4)),),
        ),
    )


class Desk:
    def __init__(self, path: Path) -> None:
        self.folder = path / "checkpoints"
        self.policies = path / "policy"
        self.checkpoints = RunCheckpoints(self.folder, self.policies, every_steps=10)

    def write(self, *versions: int) -> None:
        for version in versions:
            (self.policies / f"v{version:06d}").mkdir(parents=True)
            self.checkpoints.write(make_checkpoint(version))

    def path(self, version: int) -> Path:
        return self.folder / f"v{version:06d}.json"


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_what_was_written_is_read_to_the_last_bit(desk: Desk) -> None:
    desk.write(0, 10)
    assert desk.checkpoints.versions() == (0, 10)
    assert desk.checkpoints.read(10) == make_checkpoint(10)


def test_the_same_version_again_replaces_it(desk: Desk) -> None:
    desk.write(10)
    desk.checkpoints.write(replace(make_checkpoint(10), num_unscored=77))
    assert desk.checkpoints.read(10).num_unscored == 77
    assert [path.name for path in desk.folder.iterdir()] == ["v000010.json"]


def test_which_versions_are_due(desk: Desk) -> None:
    assert [v for v in range(25) if desk.checkpoints.is_due(v)] == [0, 10, 20]


def test_one_without_its_learners_part_is_none_and_goes(desk: Desk) -> None:
    desk.write(0, 10)
    (desk.policies / "v000000").rmdir()
    assert desk.checkpoints.versions() == (10,)
    desk.write(20)
    assert not desk.path(0).exists()
    with pytest.raises(MissingError, match=r"no checkpoint of version 0; there are: 10, 20"):
        desk.checkpoints.read(0)


def test_a_disk_that_takes_no_deletion_is_told_as_one_that_refuses(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.write(0)
    (desk.policies / "v000000").rmdir()

    def refuse(path: Path, *_: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(ResourceError, match=r"v000000\.json.*see to the disk of the run's folder"):
        desk.write(10)


@pytest.mark.parametrize("cut", [0, 1, 40, 200, -2])
def test_one_that_is_cut_off_is_named_and_the_one_before_is_offered(desk: Desk, cut: int) -> None:
    desk.write(0, 10)
    whole = desk.path(10).read_bytes()
    desk.path(10).write_bytes(whole[:cut])
    with pytest.raises(BundleCorrupt, match=r"v000010\.json .*`andon resume RUN --from 0`"):
        desk.checkpoints.read(10)


def test_one_that_was_altered_is_named(desk: Desk) -> None:
    desk.write(10)
    desk.path(10).write_bytes(
        desk.path(10).read_bytes().replace(b'"num_unscored":3', b'"num_unscored":4')
    )
    with pytest.raises(BundleCorrupt, match=r"is not what was written.*there is none before it"):
        desk.checkpoints.read(10)


def test_one_of_a_newer_format_is_refused(desk: Desk) -> None:
    desk.write(10)
    head, content = desk.path(10).read_bytes().split(b"\n", 1)
    newer = {**json.loads(head), "format": 2}
    desk.path(10).write_bytes(json.dumps(newer).encode() + b"\n" + content)
    with pytest.raises(BundleCorrupt, match="format 2, and this Andon reads up to 1"):
        desk.checkpoints.read(10)


def test_what_a_crash_left_of_a_draft_is_no_checkpoint(desk: Desk) -> None:
    desk.write(10)
    (desk.policies / "v000020").mkdir()
    (desk.folder / ".draft-v000020.json").write_text("{")
    assert desk.checkpoints.versions() == (10,)


def test_metrics_are_settled_before_a_checkpoint_is_there(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    there_at: list[bool] = []
    desk.checkpoints = RunCheckpoints(
        desk.folder,
        desk.policies,
        settle=lambda: there_at.append(desk.path(10).exists()),
    )
    desk.write(10)
    assert there_at == [False]
