"""Label Studio as a front: its project holds our open queries, its annotations are labels.

Documented API: GET /api/tasks/, POST /api/projects/{id}/import, DELETE /api/tasks/{id}/. Every
sweep reads the whole project, so that what a webhook lost, or a deletion that told only an id, is
found.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from label_queue.connector_config import LabelStudioConfig
from label_queue.connectors.label_studio_results import read_results
from label_queue.connectors.moments import moment, unix_seconds
from label_queue.connectors.port import Annotation, OutsideTask, Sweep, Unreadable
from label_queue.connectors.rows import digest_of, rows_of, tool_id, unreadable
from label_queue.connectors.tool_client import ToolBody, ToolClient
from label_queue.connectors.webhooks import SecretHeader
from protocol.errors import MissingError, TransientError

LONGEST_ACTIVE_S = 86_400.0
"""Longest lead time that is believed: a longer one is that of a page left open."""


class _Task(ToolBody):
    id: int
    data: dict[str, Any]
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


class LabelStudioConnector:
    """The `Connector` port over one Label Studio project."""

    def __init__(
        self, config: LabelStudioConfig, client: ToolClient, hook: SecretHeader, *, run_id: str
    ) -> None:
        self._config = config
        self._client = client
        self._hook = hook
        self._run_id = run_id

    @property
    def name(self) -> str:
        """Unique in the run."""
        return self._config.name

    async def sweep(self, offset: str | None) -> Sweep:
        """Read the whole project; see `Connector.sweep`."""
        tasks: dict[str, str] = {}
        touched: set[str] = set()
        answers: list[Annotation | Unreadable] = []
        found, odd = await self._tasks()
        for task in found:
            query_id = task.data.get("query_id")
            if task.data.get("run_id") != self._run_id or not isinstance(query_id, str):
                continue
            tasks.setdefault(query_id, str(task.id))
            if task.annotations or task.drafts:
                touched.add(query_id)
            answers += [_read_annotation(query_id, body) for body in task.annotations]
        return Sweep.of_whole_tool(answers, odd, tasks=tasks, touched=touched)

    async def _tasks(self) -> tuple[list[_Task], list[Unreadable]]:
        """Return all tasks, and the rows that are no tasks.

        Raises TransientError if the project changed while it was read.
        """
        rows: list[Any] = []
        total = None
        number = 1
        while total is None or len(rows) < total:
            try:
                page = await self._client.read(
                    "/api/tasks/",
                    _TaskPage,
                    project=self._config.project_id,
                    fields="all",
                    page=number,
                    page_size=self._config.page_size,
                )
            except MissingError:
                if number == 1:
                    raise
                page = _TaskPage(tasks=[], total=-1)  # pages beyond the last are not there
            if total not in (None, page.total) or (not page.tasks and page.total > len(rows)):
                raise TransientError(f"{self.name}: the project changed while it was read")
            total = page.total
            rows += page.tasks
            number += 1
        tasks, odd = rows_of(_Task, rows)
        if len({task.id for task in tasks}) < len(tasks):
            raise TransientError(f"{self.name}: the project changed while it was read")
        return tasks, odd

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
        """Delete tasks; those already gone are no error."""
        for task_id in task_ids:
            try:
                await self._client.send("DELETE", f"/api/tasks/{task_id}/")
            except MissingError:
                continue

    def check_hook_headers(self, headers: Mapping[str, str]) -> None:
        """Refuse a webhook by its headers alone; see `Connector.check_hook_headers`."""
        self._hook.check_headers(headers)

    def check_hook(self, headers: Mapping[str, str], body: bytes) -> bool:
        """Return True for a webhook that carries the secret; see `Connector.check_hook`."""
        return self._hook.check(headers, body)

    async def close(self) -> None:
        """Let go of connections. May be called twice."""
        await self._client.close()


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
