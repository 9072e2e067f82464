"""A file that another program appends answers to, one JSON object a line.

    {"id": "17", "labeler": "ann", "query_id": "0199…", "outcome": "choice", "choice": "b"}
    {"id": "17", "deleted": true}

`id` names an answer that may be changed or deleted by a later line; without it a line stands for
itself. `updated_at` (ISO 8601) decides which line of one `id` is newer; without it the later line.
Responses are named by the letters of the task lines.

The offset is the file's inode, the byte after the last whole line read, and that line's digest:
where they do not fit, the file was truncated or is another, and is read from its beginning; lines
read before have no effect again. One that was rotated to a name beside it ("x.jsonl.1") is read to
its end first.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, BinaryIO, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from label_queue.connectors.config import JsonlConfig
from label_queue.connectors.moments import moment
from label_queue.connectors.port import Annotation, Answer, Deletion, OutsideTask, Sweep, Unreadable
from protocol.errors import InputError, ResourceError, Unauthenticated
from protocol.labels import Outcome

MAX_READ_BYTES = 4 * 1024 * 1024
"""Read at once; a line must fit."""

Id = Annotated[str, Field(min_length=1, max_length=128)]
Letter = Annotated[str, Field(min_length=1, max_length=1)]


class _Line(BaseModel):
    """What all lines share: nothing unknown, nothing coerced."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class DeletionLine(_Line):
    """An answer is taken back."""

    id: Id
    deleted: Literal[True]


class AnswerLine(_Line):
    """An answer, or a change of one."""

    id: Id | None = None
    updated_at: str | None = None
    labeler: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@:+-]{0,39}$")]
    query_id: Id
    outcome: Outcome
    choice: Letter | None = None
    ranking: tuple[Letter, ...] | None = None
    strength: Annotated[int, Field(ge=1, le=4)] | None = None
    spans: tuple[tuple[Letter, int, int, Literal["good", "bad"]], ...] = ()
    comment: str | None = None
    submitted_at: float | None = None
    active_ms: int | None = None

    @model_validator(mode="after")
    def _has_a_time(self) -> AnswerLine:
        if self.updated_at is not None:
            try:
                moment(self.updated_at)
            except ValueError as error:
                raise ValueError(f"updated_at: {error}") from error
        return self


class _Offset(_Line):
    """How far a file was read."""

    inode: int
    position: int
    """The byte after the last whole line read."""
    length: int
    """That line's bytes, its end included; 0 before the first."""
    sha256: str
    """Of that line."""


class JsonlConnector:
    """The `Connector` port over a growing file."""

    def __init__(self, config: JsonlConfig, *, run_id: str) -> None:
        self._config = config
        self._run_id = run_id

    @property
    def name(self) -> str:
        """Unique in the run."""
        return self._config.name

    async def sweep(self, offset: str | None) -> Sweep:
        """Read whole lines after `offset`; a last line without its end waits for it.

        Raises ResourceError when the file cannot be read, InputError for a line over 4 MiB.
        """
        return await asyncio.to_thread(self._sweep, offset)

    def _sweep(self, offset: str | None) -> Sweep:
        last = _parse_offset(offset)
        lines: list[bytes] = []
        position = last
        for path in (_moved_away(self._config.path, last), self._config.path):
            if path is not None and not lines:
                lines, position = _read_after(path, last)
        return Sweep(
            answers=tuple(_read_line(line) for line in lines if line.strip()),
            offset=None if position is None else position.model_dump_json(),
            tasks=self._tasks_written(),
            has_more=bool(lines),
        )

    def _tasks_written(self) -> dict[str, str]:
        """Return the queries whose tasks were written before, by their own file."""
        path = self._config.tasks_path
        if path is None or not path.exists():
            return {}
        found: dict[str, str] = {}
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                try:
                    query_id = json.loads(line)["query_id"]
                except (ValueError, KeyError, TypeError) as error:
                    raise InputError(
                        f"{path}, line {number}: is no task; only Andon may write to this file"
                    ) from error
                found[query_id] = query_id
        return found

    async def push(self, tasks: Sequence[OutsideTask]) -> None:
        """Append tasks to their file, if there is one. Raises ResourceError."""
        if self._config.tasks_path is not None:
            await asyncio.to_thread(self._write_tasks, self._config.tasks_path, tasks)

    def _write_tasks(self, path: Path, tasks: Sequence[OutsideTask]) -> None:
        lines = [
            {
                "run_id": self._run_id,
                "query_id": task.query.query_id,
                "kind": task.query.kind,
                "prompt": task.query.prompt_text,
                "responses": task.texts,
            }
            for task in tasks
        ]
        try:
            with path.open("a", encoding="utf-8") as file:
                file.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        except OSError as error:
            raise ResourceError(f"{path}: cannot be written ({error.strerror})") from error

    async def withdraw(self, task_ids: Sequence[str]) -> None:
        """Do nothing: a line that was written stays, and its answer counts whenever it comes."""

    def check_hook(self, headers: Mapping[str, str], body: bytes) -> bool:
        """Raise Unauthenticated: a file has no webhooks."""
        raise Unauthenticated("a file has no webhooks: lines are found by themselves")

    async def close(self) -> None:
        """Do nothing: files are open only while they are read."""


def _parse_offset(offset: str | None) -> _Offset | None:
    """Return how far was read. The ledger's own word, so a bad one is a bug."""
    return None if offset is None else _Offset.model_validate_json(offset)


def _moved_away(path: Path, last: _Offset | None) -> Path | None:
    """Return where a file lies that was rotated away before its end was read, e.g. "x.jsonl.1"."""
    if last is None or _inode(path) == last.inode:
        return None
    # Not by a pattern: the name may hold characters that mean something else there.
    for sibling in sorted(p for p in path.parent.iterdir() if p.name.startswith(path.name)):
        if sibling != path and _inode(sibling) == last.inode:
            return sibling
    return None


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return None


def _read_after(path: Path, last: _Offset | None) -> tuple[list[bytes], _Offset | None]:
    """Return the whole lines after an offset, and how far that is.

    A file that is not there yet has none. Raises ResourceError and InputError as `sweep`.
    """
    try:
        with path.open("rb") as file:
            inode = os.fstat(file.fileno()).st_ino
            start = last.position if last is not None and _fits(file, last, inode) else 0
            file.seek(start)
            chunk = file.read(MAX_READ_BYTES)
    except FileNotFoundError:
        return [], last
    except OSError as error:
        raise ResourceError(f"{path}: cannot be read ({error.strerror})") from error
    whole = chunk[: chunk.rfind(b"\n") + 1]
    if not whole:
        if len(chunk) == MAX_READ_BYTES:
            raise InputError(f"{path}: has a line over {MAX_READ_BYTES} bytes at byte {start}")
        return [], last
    lines = [line + b"\n" for line in whole.split(b"\n")[:-1]]
    return lines, _Offset(
        inode=inode,
        position=start + len(whole),
        length=len(lines[-1]),
        sha256=hashlib.sha256(lines[-1]).hexdigest(),
    )


def _fits(file: BinaryIO, last: _Offset, inode: int) -> bool:
    """Say whether a file is the one that was read, and still holds the last line where it was."""
    if inode != last.inode:
        return False
    file.seek(last.position - last.length)
    return hashlib.sha256(file.read(last.length)).hexdigest() == last.sha256


def _read_line(line: bytes) -> Annotation | Deletion | Unreadable:
    digest = hashlib.sha256(line.strip()).hexdigest()
    try:
        if b'"deleted"' in line:
            return Deletion(external_id=DeletionLine.model_validate_json(line).id)
        said = AnswerLine.model_validate_json(line)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_context=False, include_input=False)[0]
        return Unreadable(
            external_id=f"line-{digest[:16]}",
            payload_sha256=digest,
            field=".".join(map(str, problem["loc"])),
            message=problem["msg"],
            payload=line.decode(errors="replace"),
        )
    return Annotation(
        external_id=said.id or f"line-{digest[:16]}",
        updated_at="" if said.updated_at is None else moment(said.updated_at),
        payload_sha256=digest,
        user=said.labeler,
        query_id=said.query_id,
        answer=Answer(
            outcome=said.outcome,
            choice=said.choice,
            ranking=said.ranking,
            strength=said.strength,
            spans=said.spans,
            comment=said.comment,
        ),
        submitted_at=said.submitted_at,
        active_ms=said.active_ms,
    )
