"""Label Studio as a front: its project holds our open queries, its annotations are labels.

Documented API: GET /api/tasks/, POST /api/projects/{id}/import, GET and DELETE /api/tasks/{id}/.

Label Studio notes at a task when an annotation of it was made, changed or deleted. So a sweep reads
the tasks noted since the last one, each with all its annotations. The first sweep reads the whole
project, and so does one now and then: for tasks that were deleted, and for what was noted wrong.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from label_queue.connector_config import LabelStudioConfig
from label_queue.connectors.label_studio_results import read_results
from label_queue.connectors.moments import instant, moment, unix_seconds
from label_queue.connectors.port import Annotation, OutsideTask, Sweep, Unreadable
from label_queue.connectors.rows import digest_of, rows_of, tool_id, unreadable
from label_queue.connectors.tool_client import WHOLE_EVERY, ToolBody, ToolClient
from label_queue.connectors.webhooks import SecretHeader
from protocol.errors import MissingError, TransientError

LONGEST_ACTIVE_S = 86_400.0
"""Longest lead time that is believed: a longer one is that of a page left open."""


OVERLAP = timedelta(minutes=2)
"""How far before the newest task seen a sweep begins: tasks are noted before they can be seen."""

EARLIEST = "1970"


class _Task(ToolBody):
    id: int
    data: dict[str, Any]
    updated_at: str = ""
    annotations: tuple[Any, ...] = ()
    drafts: tuple[Any, ...] = ()


class _TaskPage(ToolBody):
    tasks: list[Any]
    total: int


class _Annotation(ToolBody):
    id: int
    result: list[dict[str, Any]]
    was_cancelled: bool = False
    updated_at: str
    lead_time: float | None = None
    completed_by: int | dict[str, Any]

    @property
    def user(self) -> str:
        by = self.completed_by
        return tool_id(by.get("id") if isinstance(by, dict) else by)


@dataclass(slots=True)
class _Project:
    """What is known of a project from the sweeps so far."""

    newest: str = ""
    """When the newest task seen was noted, as `moment` writes it; "" before the first sweep."""
    num_sweeps: int = 0
    """Sweeps since, and with, the one that read the whole."""
    offset: str | None = None
    """What the last sweep returned as its offset."""
    tasks: dict[str, str] = field(default_factory=dict)
    """By query_id, the id of the task that is ours."""
    ids: dict[str, set[str]] = field(default_factory=dict)
    """By query_id, the ids of all its tasks: an import that was cut off may have been done."""
    touched: set[str] = field(default_factory=set)
    """Query ids of tasks that somebody began to answer."""


class LabelStudioConnector:
    """The `Connector` port over one Label Studio project."""

    def __init__(
        self, config: LabelStudioConfig, client: ToolClient, hook: SecretHeader, *, run_id: str
    ) -> None:
        self._config = config
        self._client = client
        self._hook = hook
        self._run_id = run_id
        self._project = _Project()

    @property
    def name(self) -> str:
        """Unique in the run."""
        return self._config.name

    async def sweep(self, offset: str | None) -> Sweep:
        """Read what changed, or the whole project; see `Connector.sweep`."""
        # Where this fails, or what was read last was not written down, nothing is taken for read.
        last, self._project = self._project, _Project()
        is_known = bool(last.newest) and offset is not None and offset == last.offset
        is_whole = not is_known or last.num_sweeps >= WHOLE_EVERY
        found, odd = await (self._all_tasks() if is_whole else self._changed(last.newest))
        known = _Project() if is_whole else last
        ids_read: dict[str, set[str]] = {}
        answers: list[Annotation | Unreadable] = []
        for task in found:
            known.newest = max(known.newest, _noted_at(task))
            query_id = task.data.get("query_id")
            if task.data.get("run_id") != self._run_id or not isinstance(query_id, str):
                continue
            known.tasks.setdefault(query_id, str(task.id))
            known.ids.setdefault(query_id, set()).add(str(task.id))
            ids_read.setdefault(query_id, set()).add(str(task.id))
            if task.annotations or task.drafts:
                known.touched.add(query_id)
            answers += [_read_annotation(query_id, body) for body in task.annotations]
        known.num_sweeps += 1
        known.offset = json.dumps({"newest": known.newest})
        self._project = known
        return Sweep(
            answers=(*answers, *odd),
            # What an odd row holds is not known, so nothing is missing from the others.
            is_complete=is_whole and not odd,
            whole=frozenset(
                name for name, ids in ids_read.items() if not odd and ids == known.ids[name]
            ),
            offset=known.offset,
            tasks=dict(known.tasks),
            touched=frozenset(known.touched),
        )

    async def _all_tasks(self) -> tuple[list[_Task], list[Unreadable]]:
        """Return all tasks, and the rows that are no tasks.

        Raises TransientError if the project changed while it was read.
        """
        rows: list[Any] = []
        total = None
        number = 1
        while total is None or len(rows) < total:
            page = await self._page(number)
            if total not in (None, page.total) or (not page.tasks and page.total > len(rows)):
                raise TransientError(f"{self.name}: the project changed while it was read")
            total = page.total
            rows += page.tasks
            number += 1
        tasks, odd = rows_of(_Task, rows)
        if len({task.id for task in tasks}) < len(tasks):
            raise TransientError(f"{self.name}: the project changed while it was read")
        return tasks, odd

    async def _changed(self, since: str) -> tuple[list[_Task], list[Unreadable]]:
        """Return the tasks noted since about a moment, and the rows that are no tasks.

        While they are read they may become more. One that comes before what was read is not seen,
        and is noted late enough for the next time.
        """
        rows: list[Any] = []
        number = 1
        while True:
            page = await self._page(number, query=_noted_since(since))
            rows += page.tasks
            if len(page.tasks) < self._config.page_size:
                break
            number += 1
        tasks, odd = rows_of(_Task, rows)
        return list({task.id: task for task in tasks}.values()), odd

    async def _page(self, number: int, **asked: str) -> _TaskPage:
        """Return a page of tasks; one beyond the last has none."""
        try:
            return await self._client.read(
                "/api/tasks/",
                _TaskPage,
                project=self._config.project_id,
                fields="all",
                page=number,
                page_size=self._config.page_size,
                **asked,
            )
        except MissingError:
            if number == 1:
                raise
            return _TaskPage(tasks=[], total=-1)

    async def push(self, tasks: Sequence[OutsideTask]) -> None:
        """Import tasks into the project. Not idempotent: only what a sweep did not find there."""
        path = f"/api/projects/{self._config.project_id}/import"
        for start in range(0, len(tasks), self._config.page_size):
            chunk = tasks[start : start + self._config.page_size]
            body = [{"data": self._data(task)} for task in chunk]
            await self._client.send("POST", path, json=body, may_repeat=False)

    def _data(self, task: OutsideTask) -> dict[str, Any]:
        return {
            "run_id": self._run_id,
            "query_id": task.query.query_id,
            "prompt": task.prompt,
            **task.texts,
            "items": [
                {"id": letter, "title": letter.upper(), "body": text}
                for letter, text in task.texts.items()
            ],
        }

    async def withdraw(self, task_ids: Sequence[str]) -> None:
        """Delete tasks that nobody has begun; see `Connector.withdraw`. Those gone are no error."""
        query_of = {task_id: query_id for query_id, task_id in self._project.tasks.items()}
        for task_id in task_ids:
            try:
                task = await self._client.read(f"/api/tasks/{task_id}/", _Task)
                if task.annotations or task.drafts:
                    self._project.touched.add(query_of[task_id])
                    continue
                await self._client.send("DELETE", f"/api/tasks/{task_id}/")
            except MissingError:
                pass
            for known in (self._project.tasks, self._project.ids):
                del known[query_of[task_id]]

    def check_hook_headers(self, headers: Mapping[str, str]) -> None:
        """Refuse a webhook by its headers alone; see `Connector.check_hook_headers`."""
        self._hook.check_headers(headers)

    def check_hook(self, headers: Mapping[str, str], body: bytes) -> bool:
        """Return True for a webhook that carries the secret; see `Connector.check_hook`."""
        return self._hook.check(headers, body)

    async def close(self) -> None:
        """Let go of connections. May be called twice."""
        await self._client.close()


def _noted_at(task: _Task) -> str:
    """Return when a task was noted to have changed; "" where that is no time, or an odd one."""
    try:
        noted = moment(task.updated_at)
    except ValueError:
        return ""
    return noted if noted >= EARLIEST else ""


def _noted_since(newest: str) -> str:
    """Return a query for the tasks noted since a while before a moment, in an order that stays."""
    # Label Studio reads times in this one form.
    since = moment((instant(newest) - OVERLAP).isoformat())
    noted = {
        "filter": "filter:tasks:updated_at",
        "operator": "greater_or_equal",
        "type": "Datetime",
        "value": since,
    }
    filters = {"conjunction": "and", "items": [noted]}
    return json.dumps({"filters": filters, "ordering": ["tasks:id"]})


def _read_annotation(query_id: str, body: object) -> Annotation | Unreadable:
    """Return an annotation, or why it says nothing to us.

    Only what people said goes into the digest: an annotation also tells how long ago it was made.
    """
    row = body if isinstance(body, dict) else {"result": body}
    said = {key: row.get(key) for key in ("result", "was_cancelled", "completed_by")}
    try:
        annotation = _Annotation.model_validate(row)
        seconds = annotation.lead_time
        is_plausible = seconds is not None and 0 <= seconds <= LONGEST_ACTIVE_S
        return Annotation(
            external_id=tool_id(annotation.id),
            updated_at=moment(annotation.updated_at),
            payload_sha256=digest_of(said),
            user=annotation.user,
            query_id=query_id,
            answer=read_results(annotation.result, was_cancelled=annotation.was_cancelled),
            submitted_at=unix_seconds(annotation.updated_at),
            active_ms=round(1000 * seconds) if seconds is not None and is_plausible else None,
        )
    except ValueError as error:
        return unreadable(row.get("id"), said, error)
