"""What a store at a URL fails at for a moment is tried again, and what lasts is said at once."""

from __future__ import annotations

import errno
import random
from typing import Any

import pytest

from cluster.stores.patient_files import MAX_ATTEMPTS, PatientFiles


class Flaky:
    """A file system with one object, that fails a few times at whatever it is asked."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.num_asked = 0
        self.there = True

    def cat_file(self, key: str) -> bytes:
        self._fail()
        return key.encode()

    def rm_file(self, key: str) -> None:
        self.num_asked += 1
        if not self.there:
            raise FileNotFoundError(key)
        self.there = False
        self._fail()

    def mv(self, old: str, new: str) -> None:
        self._fail()

    def _fail(self) -> None:
        self.num_asked += 1
        if self.errors:
            raise self.errors.pop(0)


def patient(files: Flaky, slept: list[float] | None = None) -> Any:
    waited = list[float]() if slept is None else slept
    return PatientFiles(files, random.Random(0), waited.append)


def test_what_passes_is_tried_again_after_longer_and_longer_pauses() -> None:
    slept = list[float]()
    files = Flaky(ConnectionResetError(), TimeoutError(), OSError(errno.EBUSY, "slow down"))
    assert patient(files, slept).cat_file("a") == b"a"
    assert len(slept) == 3
    assert sorted(slept) == slept


def test_what_does_not_pass_is_raised_as_it_came() -> None:
    files = Flaky(*(ConnectionResetError(str(number)) for number in range(9)))
    with pytest.raises(ConnectionResetError, match=str(MAX_ATTEMPTS - 1)):
        patient(files).cat_file("a")
    assert files.num_asked == MAX_ATTEMPTS


@pytest.mark.parametrize(
    "error", [PermissionError(), FileNotFoundError(), ValueError(), OSError(errno.ENOSPC, "full")]
)
def test_what_lasts_is_said_at_once(error: Exception) -> None:
    files = Flaky(error)
    with pytest.raises(type(error)):
        patient(files).cat_file("a")
    assert files.num_asked == 1


def test_an_object_that_is_gone_at_the_second_try_was_removed_by_the_first() -> None:
    files = Flaky(ConnectionResetError())
    patient(files).rm_file("a")
    assert not files.there
    with pytest.raises(FileNotFoundError):
        patient(files).rm_file("a")


def test_a_move_is_not_tried_again() -> None:
    files = Flaky(ConnectionResetError())
    with pytest.raises(ConnectionResetError):
        patient(files).mv("a", "b")
    assert files.num_asked == 1
