"""What a run wrote of steps that no checkpoint holds: set aside when it goes on without them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from cluster.json_lines import parse_line
from cluster.loops.checkpoints import RunCheckpoints, checkpoint_files
from cluster.recordings.streams import FIRST_SAMPLES, LOADS, POLICIES, ROLLOUTS
from cluster.run_folder import RunFolder
from protocol.appending import cut_torn_line, lines_backwards
from protocol.files import flush, writing
from protocol.folders import FoldersHere

LOST = "lost"
"""Folder of the lines and checkpoints that were set aside, under the run's."""
OUT_OF_ORDER = 100
"""Versions by which lines may be out of order at most: what is older than that is not looked at, so
that a run of weeks goes on as soon as one of minutes."""
Row = Mapping[str, Any]
VersionOf = Callable[[Row], float]
"""Returns the policy version a line belongs to; -1 for none."""


def set_aside(folder: RunFolder, version: int) -> int:
    """Take out of metrics and recordings what belongs to policy versions after `version`.

    Those steps are taken again, and a step is never counted twice. The lines go to the end of files
    of the same names under `lost/`. A last line that a crash left half written is dropped. Again:
    nothing more is found.

    Later checkpoints go there too, and before all else: whenever the run dies, its newest
    checkpoint is the one it was to go on from, or one whose lines are all there. The learner's part
    of one whose rest is missing is removed.

    Args:
        folder: The run's; no process of it is left.
        version: The one that the run goes on from.

    Returns:
        How many lines were set aside.

    Raises:
        InputError: A line is no JSON object; it is named.
        ResourceError: The disk refuses; nothing is lost.
    """
    versions: Mapping[Path, VersionOf] = {
        folder.metrics: lambda row: _number(row, "policy/step"),
        ROLLOUTS.path(folder.recordings): lambda row: _number(row, "step"),
        **{
            stream.path(folder.recordings): lambda row: _number(row, "version")
            for stream in (POLICIES, LOADS, FIRST_SAMPLES)
        },
    }
    checkpoints = RunCheckpoints(folder.checkpoints, folder.policies)
    checkpoints.set_aside(version, folder.path / LOST / folder.checkpoints.name)
    remove_half_kept(folder, version)
    count = 0
    for path, version_of in versions.items():
        if path.exists():
            count += _part(path, folder.path / LOST / path.name, version_of, version)
    for path in folder.recordings.glob("*.jsonl"):
        with writing(path):
            cut_torn_line(path)
    return count


def half_kept(folder: RunFolder, version: int) -> tuple[int, ...]:
    """Return the versions after one of which the learner's part stands, and no more of it.

    Their run died before it wrote the rest. It never told of them before, so the numbers are free.
    """
    roots = (folder.checkpoints, folder.path / LOST / folder.checkpoints.name)
    whole = {version for root in roots for version in checkpoint_files(root)}
    return tuple(each for each in folder.restorable() if each > version and each not in whole)


def remove_half_kept(folder: RunFolder, version: int) -> None:
    """Remove the learner's parts of versions after one that nothing can go on from.

    Other weights will have their numbers; and of a disk that is full they take the most.

    Raises:
        ResourceError: The disk refuses.
    """
    for each in half_kept(folder, version):
        path = folder.policies / f"v{each:06d}"
        with writing(path):
            FoldersHere().remove(path)


def _part(path: Path, lost_path: Path, version_of: VersionOf, version: int) -> int:
    """Move the lost lines of a file to the end of another; the file is replaced at once."""
    with writing(path):
        cut_torn_line(path)
    tail: list[tuple[int, bytes, bool]] = []
    for offset, line in lines_backwards(path):
        of = version_of(parse_line(f"{path}, byte {offset}", line))
        if 0 <= of < version - OUT_OF_ORDER:
            break
        tail.append((offset, line, of > version))
    lost = [offset for offset, _, is_lost in tail if is_lost]
    if not lost:
        return 0
    first = min(lost)
    again = sorted(entry for entry in tail if entry[0] >= first)
    draft = path.with_name(f".draft-{path.name}")
    with writing(path):
        lost_path.parent.mkdir(exist_ok=True)
        gone = [line for _, line, is_lost in again if is_lost]
        with lost_path.open("ab") as file:
            file.write(b"".join(gone[_num_there(lost_path, gone) :]))
        flush(lost_path)
        shutil.copyfile(path, draft)
        with draft.open("r+b") as file:
            file.truncate(first)
            file.seek(first)
            file.write(b"".join(line for _, line, is_lost in again if not is_lost))
        flush(draft)
        draft.rename(path)
        flush(path.parent)
    return len(lost)


def _num_there(path: Path, lines: Sequence[bytes]) -> int:
    """Return how many of the lines, from the first on, end a file: of one that was killed at it.

    A line that it left half written is cut off.
    """
    if not path.exists():
        return 0
    cut_torn_line(path)
    end = [line for _, line in islice(lines_backwards(path), len(lines))][::-1]
    return next(n for n in range(len(end), -1, -1) if end[len(end) - n :] == list(lines[:n]))


def _number(row: Row, name: str) -> float:
    """Return a number of a row; -1 where it has none."""
    value = row.get(name, -1)
    return float(value) if isinstance(value, int | float) else -1.0
