from __future__ import annotations

import errno
import json
import resource
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from protocol.errors import (
    BundleCorrupt,
    DiskFull,
    MissingError,
    NotFinite,
    ResourceError,
    VersionError,
)
from protocol.fits import RewardVersion
from reward_service.bundle import WEIGHTS_FILE, load_bundle, write_bundle
from reward_service.bundle_manifest import MANIFEST_FILE
from reward_service.retention import bundle_path, retire_bundles
from tests.support.elsewhere import Elsewhere
from tests.support.reward import make_reward_model, make_reward_version, write_reward_versions


@pytest.fixture
def written(reference: Path, tmp_path: Path) -> RewardVersion:
    return write_bundle(tmp_path / "reward", make_reward_model(reference), make_reward_version(7))


def test_what_is_loaded_is_what_was_written(reference: Path, tmp_path: Path) -> None:
    model = make_reward_model(reference, seed=3, num_heads=2, combine="min")
    model.set_normalisation(torch.tensor([0.1, 2.0]), torch.tensor([0.3, -4.0]))
    written = write_bundle(tmp_path, model, make_reward_version(7))
    loaded = load_bundle(Path(written.path))
    assert loaded.version == written
    assert loaded.model.config == model.config
    assert not loaded.model.training
    assert loaded.model.state_dict().keys() == model.state_dict().keys()
    for name, tensor in model.state_dict().items():
        assert torch.equal(loaded.model.state_dict()[name], tensor), name


def test_the_announcement_is_kept_but_for_path_and_digest(
    written: RewardVersion, tmp_path: Path
) -> None:
    folder = (tmp_path / "reward" / "v000007").resolve()
    assert written == replace(make_reward_version(7), path=str(folder), sha256=written.sha256)
    assert {path.name for path in folder.iterdir()} == {
        WEIGHTS_FILE, MANIFEST_FILE, "config.json",
    }  # fmt: skip
    assert list(folder.parent.iterdir()) == [folder]


def test_a_bundle_may_be_moved(written: RewardVersion, tmp_path: Path) -> None:
    elsewhere = Path(written.path).rename(tmp_path / "moved")
    assert load_bundle(elsewhere).version.path == str(elsewhere)


@pytest.mark.usefixtures("written")
def test_a_version_is_written_once(reference: Path, tmp_path: Path) -> None:
    with pytest.raises(VersionError, match="written before"):
        write_bundle(tmp_path / "reward", make_reward_model(reference), make_reward_version(7))


def test_versions_start_at_one(reference: Path, tmp_path: Path) -> None:
    with pytest.raises(VersionError, match="start at 1"):
        write_bundle(tmp_path, make_reward_model(reference), make_reward_version(0))


def test_what_is_not_finite_is_never_written(reference: Path, tmp_path: Path) -> None:
    model = make_reward_model(reference)
    metrics = {"reward_model/loss": float("nan")}
    with pytest.raises(NotFinite, match="reward_model/loss"):
        write_bundle(tmp_path, model, replace(make_reward_version(1), metrics=metrics))
    model.set_normalisation(torch.tensor([float("inf")]), torch.tensor([0.0]))
    with pytest.raises(NotFinite, match="gain"):
        write_bundle(tmp_path, model, make_reward_version(1))
    assert list(tmp_path.iterdir()) == []


def test_a_write_that_fails_leaves_nothing(
    reference: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("os.fsync", refuse)
    with pytest.raises(ResourceError, match=r"v000001: cannot be written \(Input/output error\)"):
        write_bundle(tmp_path, make_reward_model(reference), make_reward_version(1))
    assert list(tmp_path.iterdir()) == []


def test_tensors_that_find_no_room_are_called_so_and_leave_nothing(
    reference: Path, tmp_path: Path
) -> None:
    model = make_reward_model(reference)
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, unlimited[1]))
    try:
        with pytest.raises(DiskFull, match=r"cannot be written"):
            write_bundle(tmp_path, model, make_reward_version(1))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
    assert list(tmp_path.iterdir()) == []


def test_the_runs_folder_is_named_as_its_own_node_does_whatever_this_one_has_there(
    reference: Path, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "run").symlink_to(tmp_path / "other")  # of this node, and of no other
    store, root = Elsewhere(tmp_path, tmp_path / "run").node("a"), tmp_path / "run" / "reward"
    written = write_bundle(root, make_reward_model(reference), make_reward_version(7), store)
    assert Path(written.path) == root / "v000007"
    assert store.versions(root) == (root / "v000007",)


def test_one_flipped_bit_is_found(written: RewardVersion) -> None:
    weights = Path(written.path) / WEIGHTS_FILE
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(BundleCorrupt, match="sha256"):
        load_bundle(Path(written.path))


def test_a_pickle_is_refused_even_with_its_digest(written: RewardVersion) -> None:
    import hashlib

    folder = Path(written.path)
    torch.save({"heads.weight": torch.zeros(1)}, folder / WEIGHTS_FILE)
    digest = hashlib.sha256((folder / WEIGHTS_FILE).read_bytes()).hexdigest()
    manifest = json.loads((folder / MANIFEST_FILE).read_text())
    manifest["announcement"]["sha256"] = digest
    (folder / MANIFEST_FILE).write_text(json.dumps(manifest))
    with pytest.raises(BundleCorrupt, match="cannot be loaded"):
        load_bundle(folder)


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("", "file"),
        ("{}", "announcement"),
        ('{"format": 3}', "format: is 3, this is 2; use the version of Andon"),
    ],
)
def test_a_manifest_that_cannot_be_read_is_named(
    written: RewardVersion, content: str, named: str
) -> None:
    (Path(written.path) / MANIFEST_FILE).write_text(content)
    with pytest.raises(BundleCorrupt, match=named):
        load_bundle(Path(written.path))


def test_missing_weights_are_corruption_and_a_missing_bundle_is_missing(
    written: RewardVersion, tmp_path: Path
) -> None:
    (Path(written.path) / WEIGHTS_FILE).unlink()
    with pytest.raises(BundleCorrupt, match=r"has no model\.safetensors"):
        load_bundle(Path(written.path))
    with pytest.raises(MissingError, match="no reward bundle"):
        load_bundle(tmp_path)


def test_retiring_keeps_the_newest(reference: Path, tmp_path: Path) -> None:
    write_reward_versions(tmp_path, reference, 3)
    retire_bundles(tmp_path, keep=2)
    retire_bundles(tmp_path, keep=2)
    assert sorted(tmp_path.iterdir()) == [bundle_path(tmp_path, 2), bundle_path(tmp_path, 3)]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("version", 0),
        ("version", -7),
        ("version", 10**30),
        ("labels_used", -1),
        ("fit_seconds", float("inf")),
        ("metrics", {"reward_model/loss": float("nan")}),
    ],
)
def test_a_number_that_no_manifest_can_hold_is_named(
    written: RewardVersion, field: str, value: object
) -> None:
    path = Path(written.path) / MANIFEST_FILE
    content = json.loads(path.read_text())
    content["announcement"][field] = value
    path.write_text(json.dumps(content))
    with pytest.raises(BundleCorrupt, match=field):
        load_bundle(Path(written.path))
