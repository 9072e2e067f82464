"""The snapshot's file: a line of JSON that says what it is of, and the folds in MessagePack.

    {"format": "andon folds", "version": 2, "code": "9f…", "settings": "3c…",
     "places": {"queries": 10, "assignments": 12, "label_events": 11}, "ledger": "77…",
     "folds": "e0…"}
    …

It is replaced whole or not at all, and read only where every digest is as it should be.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

import label_queue
import protocol
from label_queue.quality_config import QualityConfig
from protocol.fault_points import reach
from protocol.files import writing

FORMAT, VERSION = "andon folds", 2
LONGEST_HEADER_BYTES = 4_096
BLOCK_BYTES = 1 << 20
CODE = (Path(label_queue.__file__).parent, Path(protocol.__file__).parent)
"""Packages whose code makes the folds."""
PARTIAL = ".partial"
"""Ending of the file that is being written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """How far a ledger was folded: the place of the last record of each stream."""

    queries: int
    assignments: int
    label_events: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What a snapshot is of."""

    format: str = FORMAT
    version: int = VERSION
    code: str
    """Digest of the code that folds."""
    settings: str
    """Digest of the settings on which folds depend."""
    places: Places
    ledger: str
    """SHA-256 of what the ledger holds up to these places, as it is written."""
    folds: str
    """SHA-256 of what follows."""


class Unusable(Exception):
    """A snapshot is passed over; says why. No error of the run's: all is folded anew."""


@cache
def code_digest() -> str:
    """Return a digest of all modules that may fold: any change of them is another code.

    Those are the packages of the label queue and of the protocol, whole: who judges a labeler is
    nowhere near what keeps the judgement. It is found once, as a process begins to fold, lest files
    be changed under one that goes on.
    """
    digest = hashlib.sha256()
    for root in CODE:
        for path in sorted(root.rglob("*.py")):
            digest.update(str(path.relative_to(root.parent)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def settings_digest(config: QualityConfig) -> str:
    """Return a digest of the settings on which the folds depend: how labelers are judged."""
    return hashlib.sha256(config.model_dump_json().encode()).hexdigest()


def write(path: Path, header: Header, folds: bytes) -> None:
    """Put a snapshot in the place of the one before, whole, on disk.

    Raises DiskFull or ResourceError where the disk refuses; then nothing of it stays there.
    """
    partial = partial_of(path)
    try:
        with writing(path), partial.open("wb") as file:
            file.write(msgspec.json.encode(asdict(header)) + b"\n")
            for start in range(0, len(folds), BLOCK_BYTES):
                file.write(folds[start : start + BLOCK_BYTES])
                reach("snapshot.block")
            file.flush()
            os.fsync(file.fileno())
            reach("snapshot.before_replace")
            partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)  # it is the ledger's disk, which needs the room more
        raise


def partial_of(path: Path) -> Path:
    """Return where a snapshot lies while it is written."""
    return path.with_name(path.name + PARTIAL)


def read(path: Path, *, code: str, settings: str) -> tuple[Header, Any]:
    """Return what a snapshot is of and its folds.

    Raises Unusable where there is none, it is torn, or of another code or other settings.
    """
    try:
        with path.open("rb") as file:
            line = file.readline(LONGEST_HEADER_BYTES)
            header = msgspec.json.decode(line, type=Header)
            _check(header, code=code, settings=settings)
            folds = file.read()
        if hashlib.sha256(folds).hexdigest() != header.folds:
            raise Unusable("it is torn")
        return header, msgspec.msgpack.decode(folds)
    except FileNotFoundError:
        raise Unusable("there is none") from None
    except OSError as error:
        raise Unusable(f"it cannot be read ({error.strerror})") from error
    except msgspec.MsgspecError as error:
        raise Unusable(f"it is not as Andon writes it ({error})") from error


def _check(header: Header, *, code: str, settings: str) -> None:
    if (header.format, header.version) != (FORMAT, VERSION):
        raise Unusable(f"it is of the form {header.format!r} {header.version}")
    if header.code != code:
        raise Unusable("it is of another version of Andon")
    if header.settings != settings:
        raise Unusable("it is of other settings of labels.quality")
