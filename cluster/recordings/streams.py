"""The files under `recordings/`: one kind of record each, one JSON object a line.

Every line says in which version of its stream's schema it was written. A line that says none is of
the time before they did, and has the fields of version 1. Of a newer version nothing is guessed.
"""

from __future__ import annotations

import json
from contextlib import ExitStack
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pydantic import TypeAdapter, ValidationError

from cluster.json_lines import read_rows
from cluster.recordings.records import (
    ActorLook,
    CandidateScore,
    ComparisonRecord,
    FirstSampleRecord,
    LoadRecord,
    RestartRecord,
    RewardRecord,
    RolloutRecord,
    Span,
)
from protocol.appending import AppendedFile
from protocol.errors import InputError
from protocol.labels import PolicyProvenance

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

SCHEMA = "schema"
"""The key of a line that holds its schema's version."""
BEFORE_VERSIONS = 0
"""Schema version of the lines that name none."""
MEND = "see to the disk under the run's folder"

RecordT = TypeVar("RecordT", bound="DataclassInstance")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream(Generic[RecordT]):
    """One file of recordings."""

    name: str
    """Name of the file, without its ending."""
    holds: type[RecordT]
    version: int = 1
    """Schema version that is written; all up to it are read."""

    def path(self, folder: Path) -> Path:
        """Return where the stream lies in a folder of recordings."""
        return folder / f"{self.name}.jsonl"


ROLLOUTS = Stream(name="rollouts", holds=RolloutRecord)
POLICIES = Stream(name="policies", holds=PolicyProvenance)
LOADS = Stream(name="loads", holds=LoadRecord)
FIRST_SAMPLES = Stream(name="first_samples", holds=FirstSampleRecord)
REWARDS = Stream(name="rewards", holds=RewardRecord)
COMPARISONS = Stream(name="comparisons", holds=ComparisonRecord)
LEARNER = Stream(name="learner", holds=Span)
"""What the learner did and waited for, in order."""
FITS = Stream(name="fits", holds=Span)
"""What the reward trainer did."""
ACTORS = Stream(name="actors", holds=ActorLook)
RESTARTS = Stream(name="restarts", holds=RestartRecord)
CANDIDATE_SCORES = Stream(name="candidate_scores", holds=CandidateScore)


class Recordings:
    """Appends to the streams of a run, each line flushed; while the disk is full they wait.

    Args:
        folder: Where the streams lie.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, AppendedFile] = {}

    def write(self, stream: Stream[RecordT], record: RecordT) -> None:
        """Append one record to its stream. Raises ResourceError where the disk refuses."""
        line = json.dumps({SCHEMA: stream.version, **asdict(record)}, ensure_ascii=False) + "\n"
        if stream.name not in self._files:
            self._files[stream.name] = AppendedFile(stream.path(self._folder), MEND)
        self._files[stream.name].append(line.encode())

    def read(self, stream: Stream[RecordT]) -> tuple[RecordT, ...]:
        """Return what is on record of a stream; see `read`."""
        return read(self._folder, stream)

    def close(self) -> None:
        """Close all streams. Raises DiskFull where records still wait for room."""
        with ExitStack() as all_files:
            for file in self._files.values():
                all_files.callback(file.close)
            self._files.clear()


def read(folder: Path, stream: Stream[RecordT]) -> tuple[RecordT, ...]:
    """Return all records of a stream, in order; none if there is no file.

    A last line that is half written is left, and so is what a line holds beyond its record.

    Raises:
        InputError: A line is of a newer schema, or none of these records; it is named.
        ResourceError: The file may not be read.
    """
    path = stream.path(folder)
    adapter = TypeAdapter(stream.holds)
    names = [field.name for field in fields(stream.holds)]
    found = []
    for number, row in enumerate(read_rows(path), start=1):
        _refuse_newer(path, number, stream, row.get(SCHEMA, BEFORE_VERSIONS))
        try:
            known = {name: row[name] for name in names if name in row}
            found.append(adapter.validate_python(known))
        except ValidationError as error:
            problem = error.errors(include_url=False)[0]
            place = ".".join(map(str, problem["loc"]))
            raise _foreign(path, number, stream, f"{place}: {problem['msg']}") from error
    return tuple(found)


def _refuse_newer(path: Path, number: int, stream: Stream[Any], version: object) -> None:
    if isinstance(version, bool) or not isinstance(version, int) or version < BEFORE_VERSIONS:
        raise _foreign(path, number, stream, f"{SCHEMA}: want a whole number, got {version!r}")
    if version > stream.version:
        raise InputError(
            f"{path} was recorded by a newer Andon (line {number}: {SCHEMA} {version} of "
            f"{stream.name}; this one reads up to {stream.version}): read the run with the version "
            "that its run.json names as versions.andon, or a later one"
        )


def _foreign(path: Path, number: int, stream: Stream[Any], problem: str) -> InputError:
    return InputError(
        f"{path} does not hold {stream.holds.__name__}s (line {number}: {problem}); it was "
        "changed, or written by another version"
    )
