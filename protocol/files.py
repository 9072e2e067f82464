"""Files a person names or a run keeps: what can go wrong with one becomes an error of ours."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from protocol.errors import AndonError, DiskFull, InputError, MissingError, ResourceError

LOOK_INTO = "see that you may look into it"
"""What to do about a folder of a run's."""
_NO_FILE = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR)
_NO_PATH = (errno.ENAMETOOLONG, errno.ELOOP)
_FORBIDDEN = (errno.EACCES, errno.EPERM)
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
_NO_ROOM = (*_NO_SPACE, errno.EFBIG)


@contextmanager
def reading(path: Path, what: str, mend: str) -> Iterator[None]:
    """Turn what may happen while a file is found, opened and read into errors of ours.

    Nothing else belongs inside: what its content says is judged after.

    Args:
        path: The file.
        what: It is to the reader, e.g. "labels.guidelines".
        mend: What to do where it is missing or no such file, e.g. "name a Markdown file".

    Raises:
        MissingError: There is no such file.
        InputError: It is not UTF-8 text, or its path is none.
        ResourceError: This user may not read it, or the disk refuses.
    """
    try:
        yield
    except AndonError:
        raise
    except UnicodeDecodeError as error:
        raise InputError(
            f"{what}: {path} is not UTF-8 text ({error.reason} at byte {error.start}); {mend}"
        ) from error
    except ValueError as error:  # a NUL, or what no file's name can hold
        raise InputError(f"{what}: {path} is not a path ({error}); {mend}") from error
    except OSError as error:
        raise _read_problem(path, what, mend, error) from error


def read_text(path: Path, what: str, mend: str) -> str:
    """Return the text of a file, UTF-8; a byte order mark before it is none of it.

    Arguments and errors as for `reading`.
    """
    with reading(path, what, mend):
        return path.read_text(encoding="utf-8-sig")


def is_file(path: Path, what: str, mend: str) -> bool:
    """Return whether somebody's path leads to a file; arguments and errors as for `reading`.

    A path that leads nowhere is no error: whoever asks says what is missing.
    """
    return stat.S_ISREG(_mode(path, what, mend))


def is_folder(path: Path, what: str, mend: str) -> bool:
    """Return whether somebody's path leads to a folder; arguments and errors as for `reading`."""
    return stat.S_ISDIR(_mode(path, what, mend))


def is_there(path: Path, what: str, mend: str) -> bool:
    """Return whether somebody's path leads to anything; arguments and errors as for `reading`."""
    return _mode(path, what, mend) != 0


def listed(path: Path, what: str, mend: str) -> list[Path]:
    """Return what lies in a folder, by name; arguments and errors as for `reading`.

    A folder that is not there holds nothing. One that may not be looked into is an error: what is
    found by a pattern there is nothing, too, and would be taken for that.
    """
    if not is_folder(path, what, mend):
        return []
    with reading(path, what, mend):
        return sorted(path.iterdir())


def refuse_stream(path: Path, what: str, mend: str) -> None:
    """Refuse what gives its content once, such as a pipe; arguments and errors as for `reading`.

    For what is read when a run is checked and again when it starts: the second time there is
    nothing. A path that leads nowhere, or to a folder, is left to whoever reads it.

    Raises:
        InputError: It is no regular file.
    """
    mode = _mode(path, what, mend)
    if mode and not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise InputError(
            f"{what}: {path} is a pipe or device, which gives its content once, and this is read "
            "more than once: write it to a file, and name that"
        )


@contextmanager
def writing(
    path: Path, mend: str = "name another place, or see that you may write there"
) -> Iterator[None]:
    """Turn what may happen while a file or folder is made into errors of ours.

    Args:
        path: What is made; a file of a folder that is made whole may stand for all.
        mend: What to do where it cannot be made.

    Raises:
        InputError: Its path is none, or leads through what is no folder.
        DiskFull: The disk is full, or a quota or limit reached.
        ResourceError: The disk is read-only, or this user may not write there.
    """
    try:
        yield
    except AndonError:
        raise
    except UnicodeEncodeError as error:
        raise InputError(f"{path}: is not UTF-8 text; {mend}") from error
    except OSError as error:
        raise _write_problem(path, mend, error) from error


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Have the system's error name a file where it names none, as that of a full disk does."""
    try:
        yield
    except AndonError:
        raise
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise


def is_full(error: OSError) -> bool:
    """Return whether an error is one of a disk, quota or limit that leaves no room."""
    return error.errno in _NO_ROOM


def flush(path: Path) -> None:
    """Have the disk hold this file or folder before going on."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def put_whole(path: Path, content: bytes, mode: int = 0o666) -> None:
    """Put content in a file's place, flushed to disk: what is there is old or new, never a part.

    Args:
        path: The file; its folder is there.
        content: All that it is to hold.
        mode: Who may read and write it, if it is new, as for `os.open`.

    Raises:
        DiskFull: There is no room; what was there stays.
        InputError, ResourceError: As `writing`.
    """
    draft = path.with_name(f".draft-{path.name}")
    try:
        with writing(path):
            with open(draft, "wb", opener=partial(os.open, mode=mode)) as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
            flush(path.parent)
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)


def _mode(path: Path, what: str, mend: str) -> int:
    """Return what the system says a path leads to, 0 where that is nothing."""
    with reading(path, what, mend):
        try:
            return path.stat().st_mode
        except (FileNotFoundError, NotADirectoryError):
            return 0


def _read_problem(path: Path, what: str, mend: str, error: OSError) -> OSError | ValueError:
    if error.errno in _NO_FILE:
        return MissingError(f"{what}: {path} is not a file; {mend}")
    if error.errno in _NO_PATH:
        return InputError(f"{what}: {path} is not a path ({error.strerror}); {mend}")
    if error.errno in _FORBIDDEN:
        return ResourceError(
            f"{what}: {path} may not be read by this user ({error.strerror}); ask its owner"
        )
    return ResourceError(f"{what}: {path} cannot be read ({error.strerror}); see to its disk")


def _write_problem(path: Path, mend: str, error: OSError) -> OSError | ValueError:
    where = path if error.filename is None else os.fsdecode(error.filename)
    if error.errno in _NO_SPACE:
        return DiskFull(f"{where}: cannot be written: its disk is full; free space there")
    if error.errno == errno.EFBIG:
        return DiskFull(
            f"{where}: cannot be written ({error.strerror}); raise the limit on files (ulimit -f)"
        )
    if error.errno in (*_NO_PATH, errno.EEXIST, errno.ENOTDIR, errno.EISDIR):
        return InputError(f"{where}: cannot be written ({error.strerror}); {mend}")
    return ResourceError(f"{where}: cannot be written ({error.strerror}); {mend}")
