"""What can go wrong with a file becomes an error of ours, that names it and the mend."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from protocol.errors import ConfigError, InputError, MissingError, ResourceError
from protocol.files import read_text, reading, refuse_stream, writing
from tests.support.odd_names import ODD_NAMES
from tests.support.other_user import open_folder, other_user

MEND = "name another"


@pytest.mark.parametrize("name", ODD_NAMES, ids=ascii)
def test_a_file_of_any_name_is_read(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("süß", encoding="utf-8")
    assert read_text(tmp_path / name, "guide", MEND) == "süß"


def test_a_byte_order_mark_is_none_of_the_text(tmp_path: Path) -> None:
    """As some editors write one; guidelines began with it, and their heading was none."""
    (tmp_path / "guide.md").write_bytes("\ufeff# Be kind\r\n".encode())
    assert read_text(tmp_path / "guide.md", "guide", MEND) == "# Be kind\n"


def test_what_is_no_file_is_missing(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "none", tmp_path, tmp_path / "file" / "below"):
        with pytest.raises(MissingError) as told:
            read_text(path, "guide", MEND)
        assert str(told.value) == f"guide: {path} is not a file; {MEND}"


@pytest.mark.parametrize("name", ["a\0b", "n" * 256, "\ud800"], ids=ascii)
def test_what_is_no_path_is_said(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="is not a path"):
        read_text(tmp_path / name, "guide", MEND)


def test_what_gives_its_content_once_is_no_file_to_read_twice(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "pipe")
    for name in ("file", "none", "."):
        refuse_stream(tmp_path / name, "guide", MEND)
    for path in (tmp_path / "pipe", tmp_path / "link", Path("/dev/null")):
        with pytest.raises(InputError, match=f"^guide: {path} is a pipe or device, .* to a file"):
            refuse_stream(path, "guide", MEND)


def test_a_text_that_is_not_utf_8_is_named_with_its_byte(tmp_path: Path) -> None:
    (tmp_path / "latin").write_bytes(b"s\xfc\xdf")
    with pytest.raises(InputError, match=r"guide: .*latin is not UTF-8 text \(.* at byte 1\)"):
        read_text(tmp_path / "latin", "guide", MEND)


def test_another_user_s_file_is_named() -> None:
    with open_folder() as folder:
        (folder / "file").write_text("secret")
        (folder / "file").chmod(0)
        (folder / "below").mkdir(mode=0)
        with other_user():
            for path in (folder / "file", folder / "below" / "file"):
                with pytest.raises(ResourceError, match=r"guide: .*file may not be read by this"):
                    read_text(path, "guide", MEND)
        (folder / "below").chmod(0o700)


def test_another_user_s_folder_is_not_written_to() -> None:
    with open_folder() as folder:
        folder.chmod(0o555)
        denied = pytest.raises(ResourceError, match=rf"denied\); {MEND}$")
        with other_user(), denied, writing(folder / "new", MEND):
            (folder / "new").mkdir()
        folder.chmod(0o777)


@pytest.mark.parametrize(
    ("number", "kind", "said"),
    [
        (errno.ENOSPC, ResourceError, "its disk is full; free space there"),
        (errno.EDQUOT, ResourceError, "its disk is full; free space there"),
        (errno.EROFS, ResourceError, r"cannot be written \(Read-only file system\); name another"),
        (errno.EIO, ResourceError, r"cannot be written \(Input/output error\)"),
        (errno.ENOENT, ResourceError, r"cannot be written \(No such file or directory\)"),
        (errno.ENAMETOOLONG, InputError, r"cannot be written \(File name too long\)"),
        (errno.ENOTDIR, InputError, r"cannot be written \(Not a directory\)"),
    ],
)
def test_what_keeps_a_file_from_being_written_is_told(
    number: int, kind: type[Exception], said: str
) -> None:
    with pytest.raises(kind, match=f"^/x/y: .*{said}"), writing(Path("/x"), MEND):
        raise OSError(number, os.strerror(number), "/x/y")


def test_an_error_of_ours_passes_as_it_is() -> None:
    for door in (reading(Path("x"), "x", MEND), writing(Path("x"), MEND)):
        with pytest.raises(ConfigError, match=r"^mine$"), door:
            raise ConfigError("mine")
