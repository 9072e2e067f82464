"""Checkpoints and states of ranks that are on nodes of their own, which share no disk."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
import torch

from learners.checkpoint import CheckpointFolder, Layout, Position
from learners.config import CheckpointConfig
from learners.reward_state import RewardStates, Share
from protocol.errors import DiskFull, MissingError
from tests.support.elsewhere import Elsewhere
from tests.support.labels import make_fit
from tests.support.positions import make_position

NOWHERE = Path("/no/such/place/demo-1")
"""The run's folder, on a node that is none of the ranks'."""
LAYOUT = Layout(num_ranks=2, zero_stage=2, dtype="float32")


def position(version: int) -> Position:
    return make_position(version, kl_coefficient=0.3)


def ranks(nodes: Elsewhere, *names: str, keep: int = 8) -> list[CheckpointFolder]:
    """Return the checkpoints as ranks 0 and 1 see them, from the nodes of these names."""
    root, config = NOWHERE / "policy", CheckpointConfig(keep=keep)
    return [
        CheckpointFolder(root, config, LAYOUT, rank, nodes.node(name))
        for rank, name in enumerate(names)
    ]


def write(group: list[CheckpointFolder], version: int) -> None:
    digests = [
        rank.write_share(version, {"weight/a": torch.tensor([float(version), float(number)])})
        for number, rank in enumerate(group)
    ]
    group[0].complete(position(version), None, tuple(digests))


def test_a_full_disk_elsewhere_is_named_and_not_the_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    group = ranks(Elsewhere(tmp_path, NOWHERE), "a", "b")
    monkeypatch.setattr("os.fsync", refuse)
    with pytest.raises(DiskFull, match=rf"free space on the disk of {tmp_path}/a/"):
        write(group, 40)


def test_ranks_elsewhere_go_on_where_others_were_kept(tmp_path: Path) -> None:
    nodes = Elsewhere(tmp_path, NOWHERE)
    write(ranks(nodes, "a", "b"), 40)
    later = ranks(nodes, "c", "d")
    assert [rank.versions() for rank in later] == [(40,), (40,)]
    for number, rank in enumerate(later):
        checkpoint = rank.read(40)
        assert checkpoint.position == position(40)
        assert checkpoint.state["weight/a"].tolist() == [40.0, float(number)]
    assert not NOWHERE.exists()


def test_what_one_rank_alone_has_written_is_no_checkpoint(tmp_path: Path) -> None:
    nodes = Elsewhere(tmp_path, NOWHERE)
    first, second = ranks(nodes, "a", "b")
    digest = first.write_share(40, {"weight/a": torch.zeros(1)})
    with pytest.raises(MissingError, match=r"v000040 lacks rank-0001\.safetensors"):
        first.complete(position(40), None, (digest, digest))
    assert second.versions() == ()
    with pytest.raises(MissingError, match="no checkpoint of policy version 40: there are none"):
        second.read(40)


def test_notes_and_old_versions_are_the_same_for_all(tmp_path: Path) -> None:
    nodes = Elsewhere(tmp_path, NOWHERE)
    group = ranks(nodes, "a", "b", keep=3)
    write(group, 0)
    write(group, 10)
    group[0].mark_cut(10)
    for version in (11, 12):
        write(group, version)
    # 10 would have gone first, but the run's own file names it.
    assert ranks(nodes, "c", "d")[1].versions() == (0, 10, 12)


def test_a_reward_trainer_elsewhere_goes_on_from_the_state(tmp_path: Path) -> None:
    nodes, layout = Elsewhere(tmp_path, NOWHERE), LAYOUT.model_copy(update={"num_ranks": 1})
    share = Share(
        engine={"weight/a": torch.arange(3.0)},
        gain=torch.tensor([0.5]),
        reference_scores=torch.arange(4.0),
    )
    states = RewardStates(NOWHERE / "reward", layout, 0, nodes.node("a"))
    for version in (1, 2, 3):
        digest = states.write_share(version, share)
        states.complete(version, make_fit(), {"q-1"}, (digest,))
    there = RewardStates(NOWHERE / "reward", layout, 0, nodes.node("b"))
    manifest, found = there.read(3)
    assert (manifest.version, manifest.learned) == (3, ("q-1",))
    assert found.engine["weight/a"].tolist() == [0.0, 1.0, 2.0]
    with pytest.raises(MissingError, match="no state of a reward trainer"):
        there.read(1)
