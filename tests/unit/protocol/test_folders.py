"""The run's folders on its own node: none is ever seen by half, and what is left of one goes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from protocol.folders import FoldersHere, clear_left
from tests.support.folder_store_contract import BUNDLE, content, publish


class Killed(Exception):
    """Raised where a process would have been killed."""


def killed(*_: object, **__: object) -> None:
    raise Killed


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "reward" / "v000001"
    publish(FoldersHere(), folder, BUNDLE)
    return folder


def test_what_else_is_called_like_a_version_is_none(folder: Path) -> None:
    (folder.parent / "v000007.bak").mkdir()
    (folder.parent / "v000008").touch()
    assert FoldersHere().versions(folder.parent) == (folder,)


def test_half_removed_is_gone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", killed)
        with pytest.raises(Killed):
            FoldersHere().remove(folder)
    assert FoldersHere().versions(folder.parent) == ()
    FoldersHere().remove(folder.with_name("v000002"))
    assert list(folder.parent.iterdir()) == []


def test_a_folder_that_is_replaced_is_there_before_the_old_one_is_deleted(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", killed)
        with pytest.raises(Killed):
            publish(FoldersHere(), folder, {"model.safetensors": b"new"})
    assert content(folder) == {"model.safetensors": b"new"}
    publish(FoldersHere(), folder, {"model.safetensors": b"newer"})
    assert content(folder) == {"model.safetensors": b"newer"}
    assert list(folder.parent.iterdir()) == [folder]


def test_what_is_left_of_a_killed_run_is_cleared_and_the_rest_stays(folder: Path) -> None:
    trainer = folder.parent / "trainer"
    for left in (folder.with_name(".draft-v000002"), trainer / ".gone-v000001"):
        left.mkdir(parents=True)
        (left / "model.safetensors").write_bytes(b"half")
    clear_left(folder.parent)
    assert sorted(folder.parent.rglob(".*")) == []
    assert content(folder) == BUNDLE
