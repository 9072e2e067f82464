"""What a run wrote of steps that no checkpoint holds: set aside when it goes on without them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cluster.json_lines import parse_line
from cluster.recordings.streams import FIRST_SAMPLES, LOADS, POLICIES, ROLLOUTS
from cluster.run_folder import RunFolder
from protocol.files import flush, writing

LOST = "lost"
"""Folder of the lines that were set aside, under the run's."""
Row = Mapping[str, Any]


def set_aside(folder: RunFolder, version: int) -> int:
    """Take out of metrics and recordings what belongs to policy versions after `version`.

    Those steps are taken again, and a step is never counted twice. The lines go to the end of files
    of the same names under `lost/`. A last line that a crash left half written is dropped. Again:
    nothing more is found.

    Args:
        folder: The run's; no process of it is left.
        version: The one that the run goes on from.

    Returns:
        How many lines were set aside.

    Raises:
        InputError: A line is no JSON object; it is named.
        ResourceError: The disk refuses; nothing is lost.
    """
    after: Mapping[Path, Callable[[Row], bool]] = {
        folder.metrics: lambda row: _number(row, "policy/step") > version,
        ROLLOUTS.path(folder.recordings): lambda row: _number(row, "step") > version,
        **{
            stream.path(folder.recordings): lambda row: _number(row, "version") > version
            for stream in (POLICIES, LOADS, FIRST_SAMPLES)
        },
    }
    rest = set(folder.recordings.glob("*.jsonl")) - set(after)
    count = 0
    for path in sorted({*after, *rest}):
        if path.exists():
            is_lost = after.get(path, lambda _: False)
            count += _part(path, folder.path / LOST / path.name, is_lost)
    return count


def _part(path: Path, lost_path: Path, is_lost: Callable[[Row], bool]) -> int:
    """Move the lost lines of a file to the end of another; the file is replaced at once."""
    whole, end, torn = path.read_bytes().rpartition(b"\n")
    lines = whole.split(b"\n") if end else []
    lost = [
        line
        for number, line in enumerate(lines, start=1)
        if is_lost(parse_line(f"{path}, line {number}", line.decode()))
    ]
    if not lost and not torn:
        return 0
    gone = set(lost)
    kept = b"".join(line + b"\n" for line in lines if line not in gone)
    draft = path.with_name(f".draft-{path.name}")
    with writing(path):
        if lost:
            lost_path.parent.mkdir(exist_ok=True)
            with lost_path.open("ab") as file:
                file.write(b"".join(line + b"\n" for line in lost))
            flush(lost_path)
        draft.write_bytes(kept)
        flush(draft)
        draft.rename(path)
        flush(path.parent)
    return len(lost)


def _number(row: Row, name: str) -> float:
    """Return a number of a row; -1 where it has none."""
    value = row.get(name, -1)
    return float(value) if isinstance(value, int | float) else -1.0
