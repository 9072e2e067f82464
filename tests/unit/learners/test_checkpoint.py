"""Checkpoints on disk: whole or not there, proved by digest, few, and from a spread of the run."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest
import torch

from learners.checkpoint import MANIFEST_FILE, CheckpointFolder, Layout, Position, kept
from learners.config import CheckpointConfig
from protocol.errors import BundleCorrupt, DiskFull, MissingError, VersionError
from tests.support.positions import make_position

LAYOUT = Layout(num_ranks=1, zero_stage=0, dtype="float32")


def make_folder(
    root: Path, layout: Layout = LAYOUT, rank: int = 0, keep: int = 8
) -> CheckpointFolder:
    return CheckpointFolder(root, CheckpointConfig(keep=keep), layout, rank)


def position(version: int) -> Position:
    return make_position(version, kl_coefficient=0.1 + 0.2)


def write(folder: CheckpointFolder, version: int, next_reward: int | None = None) -> None:
    digest = folder.write_share(version, {"weight/a": torch.tensor([1.0, float(version)])})
    folder.complete(position(version), next_reward, (digest,))


def test_what_was_written_is_read(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "policy")
    assert folder.versions() == ()
    write(folder, 3)
    assert folder.versions() == (3,)
    checkpoint = folder.read(3)
    assert checkpoint.position == position(3)
    assert checkpoint.state["weight/a"].tolist() == [1.0, 3.0]


def test_a_folder_without_its_manifest_is_none(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    folder.write_share(3, {"weight/a": torch.zeros(1)})
    assert folder.versions() == ()
    with pytest.raises(MissingError, match=r"no checkpoint of policy version 3: there are none"):
        folder.read(3)


def test_every_rank_reads_its_own_share(tmp_path: Path) -> None:
    layout = Layout(num_ranks=2, zero_stage=2, dtype="float32")
    ranks = [make_folder(tmp_path, layout, rank) for rank in range(2)]
    digests = [r.write_share(1, {"weight/a": torch.tensor(i)}) for i, r in enumerate(ranks)]
    ranks[0].complete(position(1), None, tuple(digests))
    assert [int(r.read(1).state["weight/a"]) for r in ranks] == [0, 1]


def test_a_version_is_written_once(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    write(folder, 3)
    with pytest.raises(VersionError, match="was written before"):
        write(folder, 3)


def test_a_changed_byte_is_found(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    write(folder, 3)
    share = tmp_path / "v000003" / "rank-0000.safetensors"
    *whole, last = share.read_bytes()
    share.write_bytes(bytes([*whole, last ^ 1]))
    with pytest.raises(BundleCorrupt, match=r"rank-0000\.safetensors has sha256"):
        folder.read(3)
    share.unlink()
    with pytest.raises(BundleCorrupt, match=r"has no rank-0000\.safetensors"):
        folder.read(3)


def test_a_manifest_that_is_none_is_named(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    write(folder, 3)
    path = tmp_path / "v000003" / MANIFEST_FILE
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 2}))
    with pytest.raises(BundleCorrupt, match=r"format: is 2, this is 1; use the version of Andon"):
        folder.read(3)


def test_another_spread_is_refused(tmp_path: Path) -> None:
    write(make_folder(tmp_path), 3)
    other = make_folder(tmp_path, Layout(num_ranks=2, zero_stage=3, dtype="float32"))
    with pytest.raises(BundleCorrupt, match="num_ranks=1 zero_stage=0"):
        other.read(3)


def test_few_are_kept(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, keep=3)
    for version in (0, 10, 14, 20, 30):
        write(folder, version, next_reward=2 if version == 14 else None)
    assert folder.versions() == (0, 14, 30)


def test_what_a_killed_process_left_of_a_version_goes_with_the_next(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    for version in (0, 10):
        write(folder, version)
    (folder.folder(10) / MANIFEST_FILE).unlink()
    write(folder, 20)
    assert folder.versions() == (0, 20)


def test_what_a_run_goes_on_from_stays(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, keep=3)
    write(folder, 0)
    write(folder, 10)
    folder.mark_cut(10)
    for version in (11, 12, 13):
        write(folder, version, next_reward=version)
    # 13 is the newest; 12 and 11 were marked, and 10 was not, but the run's own file names it.
    assert folder.versions() == (0, 10, 13)
    for version in (20, 30):
        digest = folder.write_share(version, {"weight/a": torch.zeros(1)})
        folder.complete(position(version), None, (digest,), is_cut=True)
    assert folder.versions() == (0, 20, 30)


def test_cuts_that_a_resume_passed_over_are_no_longer_held(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, keep=4)
    for version in (0, 10, 20, 30):
        write(folder, version)
        folder.mark_cut(version)
    folder.forget_cuts_after(10)
    for version in (31, 32):
        write(folder, version)
    # 10 is what the run goes on from until its own file names a later one.
    assert folder.versions() == (0, 10, 31, 32)


def test_a_full_disk_is_said_so_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", refuse)
    with pytest.raises(DiskFull, match=r"lower learner\.checkpoint\.keep"):
        write(make_folder(tmp_path), 3)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(DiskFull):
        write(make_folder(tmp_path, LAYOUT.model_copy(update={"num_ranks": 2})), 3)
    assert [path.name for path in tmp_path.rglob("*")] == [".draft-v000003"]  # others are at it


def test_what_cannot_be_completed_is_discarded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    folder = make_folder(tmp_path)
    digest = folder.write_share(3, {"weight/a": torch.zeros(1)})
    monkeypatch.setattr("os.fsync", refuse)
    with pytest.raises(DiskFull):
        folder.complete(position(3), None, (digest,))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("versions", "marked", "keep", "expected"),
    [
        # Fewer than may stay: all.
        ((0, 10), set(), 2, [0, 10]),
        # ρ and the newest stay, whatever else.
        ((0, 10, 20), {10}, 2, [0, 20]),
        # The oldest plain ones go before any that is marked.
        ((0, 4, 10, 20, 30), {4}, 3, [0, 4, 30]),
        # All marked: 8's neighbours are 6 and 9, nearer than any others; then 6 between 4 and 9.
        ((0, 4, 6, 8, 9, 20), {0, 4, 6, 8, 9, 20}, 5, [0, 4, 6, 9, 20]),
        ((0, 4, 6, 8, 9, 20), {0, 4, 6, 8, 9, 20}, 4, [0, 4, 9, 20]),
    ],
)
def test_which_are_kept(
    versions: tuple[int, ...], marked: set[int], keep: int, expected: list[int]
) -> None:
    assert kept(versions, marked, keep) == expected


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("kl_coefficient", float("nan")),
        ("kl_coefficient", float("inf")),
        ("kl_coefficient", -0.1),
        ("kl_coefficient", "0.1"),
        ("version", -1),
        ("episodes", 10**30),
        ("num_steps", True),
    ],
)
def test_a_number_that_no_manifest_can_hold_is_named(
    tmp_path: Path, field: str, value: object
) -> None:
    folder = make_folder(tmp_path)
    write(folder, 3)
    path = folder.folder(3) / MANIFEST_FILE
    content = json.loads(path.read_text())
    content["position"][field] = value
    path.write_text(json.dumps(content))
    with pytest.raises(BundleCorrupt, match=field):
        folder.read(3)
