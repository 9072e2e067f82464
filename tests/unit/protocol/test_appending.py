"""A file that a full disk leaves whole, and that nothing which waited is missing from."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from protocol import appending
from protocol.appending import AppendedFile
from protocol.errors import DiskFull, ResourceError

MEND = "see to the disk"


class Disk:
    """Takes so many bytes, then refuses."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.room = 10**9
        self.error = errno.ENOSPC
        self._write = os.write
        monkeypatch.setattr("protocol.appending.os.write", self.write)

    def write(self, descriptor: int, content: bytes) -> int:
        if self.room == 0:
            raise OSError(self.error, os.strerror(self.error))
        written = self._write(descriptor, bytes(content)[: self.room])
        self.room -= written
        return written


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_lines_wait_for_room_and_come_whole_and_in_order(
    tmp_path: Path, disk: Disk, error: int
) -> None:
    path = tmp_path / "rows.jsonl"
    disk.error = error
    file = AppendedFile(path, MEND)
    file.append(b"one\n")
    disk.room = 2
    file.append(b"two\n")
    file.append(b"three\n")
    assert path.read_bytes() == b"one\ntw"
    disk.room = 10**9
    file.append(b"four\n")
    assert path.read_bytes() == b"one\ntwo\nthree\nfour\n"
    file.close()
    file.close()


def test_what_waits_goes_out_when_the_file_is_closed(tmp_path: Path, disk: Disk) -> None:
    file = AppendedFile(tmp_path / "a", MEND)
    disk.room = 0
    file.append(b"one\n")
    disk.room = 10
    file.close()
    assert (tmp_path / "a").read_bytes() == b"one\n"


def test_what_is_lost_at_the_end_is_said(tmp_path: Path, disk: Disk) -> None:
    file = AppendedFile(tmp_path / "a", MEND)
    disk.room = 0
    file.append(b"one\n")
    with pytest.raises(DiskFull, match=r"disk is full; free space there \(4 bytes of it are lost"):
        file.close()


def test_no_more_is_kept_than_memory_has_room_for(
    tmp_path: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(appending, "MOST_KEPT_BYTES", 6)
    file = AppendedFile(tmp_path / "a", MEND)
    disk.room = 0
    file.append(b"one\n")
    with pytest.raises(DiskFull, match="a: cannot be written"):
        file.append(b"two\n")
    disk.room = 100
    file.close()


def test_a_disk_that_refuses_otherwise_is_no_full_disk(tmp_path: Path, disk: Disk) -> None:
    file = AppendedFile(tmp_path / "a", MEND)
    disk.room, disk.error = 0, errno.EIO
    with pytest.raises(ResourceError, match=MEND) as told:
        file.append(b"one\n")
    assert not isinstance(told.value, DiskFull)
    disk.room = 100
    file.close()
