"""Folders beside the run's own: whether it may write there, and whether Ray's sockets fit."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from cluster.starting import folders
from cluster.starting.folders import check_home, check_ray_temp, check_writable, ray_temp
from protocol.errors import ConfigError, ResourceError
from tests.support.other_user import open_folder, other_user


@pytest.fixture(autouse=True)
def _no_temp(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.delenv("TMPDIR", raising=False)


def test_ray_s_folder_is_found_as_ray_finds_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ray_temp() == ("RAY_TMPDIR", Path("/tmp"))
    monkeypatch.setenv("TMPDIR", "/var/tmp")
    assert ray_temp() == ("TMPDIR", Path("/var/tmp"))
    monkeypatch.setenv("RAY_TMPDIR", "/dev/shm")
    assert ray_temp() == ("RAY_TMPDIR", Path("/dev/shm"))


@pytest.mark.parametrize("variable", ["RAY_TMPDIR", "TMPDIR"])
def test_a_socket_path_that_is_too_long_is_told_with_what_fits(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str
) -> None:
    monkeypatch.setattr(folders, "_largest_pid", lambda: 4_194_303)
    # /ray/session_2030-01-01_12-00-00_000000_4194303/sockets/plasma_store has 68 bytes.
    fits, too_long = (Path("/dev/shm") / ("d" * (n - len("/dev/shm/"))) for n in (39, 40))
    monkeypatch.setenv(variable, str(fits))
    check_ray_temp()
    monkeypatch.setenv(variable, str(too_long))
    with pytest.raises(ConfigError) as told:
        check_ray_temp()
    assert str(told.value) == (
        f"{variable} {too_long} is too long for Ray's sockets below it: set RAY_TMPDIR to a folder "
        "of at most 39 bytes, e.g. /tmp"
    )


def test_a_home_of_another_user_s_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with open_folder() as folder:
        folder.chmod(0o555)
        monkeypatch.setenv("HOME", str(folder))
        with other_user(), pytest.raises(ResourceError) as told:
            check_home()
        folder.chmod(0o777)
    assert str(told.value) == (
        f"HOME {folder} cannot be written (Permission denied); Ray, wandb and vLLM write there: "
        "set HOME to a folder of yours"
    )


def test_a_home_that_is_no_folder_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("HOME", str(tmp_path / "file" / "home"))
    with pytest.raises(ResourceError, match=r"HOME .*/file/home cannot be written \(Not a dir"):
        check_home()


def test_a_user_without_a_home_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(ResourceError, match=r"this user has no home folder.*set HOME"):
        check_home()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_a_full_or_read_only_disk_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, number: int
) -> None:
    def refuse(**_: Any) -> Any:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("cluster.starting.folders.tempfile.TemporaryFile", refuse)
    with pytest.raises(
        ResourceError, match=rf"the run's folder .* \({os.strerror(number)}\); mend"
    ):
        check_writable(tmp_path / "not" / "there", "the run's folder", "mend")


def test_a_folder_that_is_not_there_is_left_so(tmp_path: Path) -> None:
    check_writable(tmp_path / "a" / "b", "it", "mend")
    assert list(tmp_path.iterdir()) == []
