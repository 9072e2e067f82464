"""Argilla 2 as a front: its dataset holds our open queries, its responses are labels.

Documented API: GET /api/v1/datasets/{id}, GET, DELETE …/records, PUT …/records/bulk.

Argilla tells when a response was last made, changed or deleted, but not which. So a sweep reads the
whole dataset where that moment is another than it was, and else nothing; now and then one reads it
all the same, for records that were deleted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from label_queue.connector_config import ArgillaConfig
from label_queue.connectors.argilla_values import read_values
from label_queue.connectors.moments import moment, unix_seconds
from label_queue.connectors.port import Annotation, OutsideTask, Sweep, Unreadable
from label_queue.connectors.rows import digest_of, rows_of, tool_id, unreadable
from label_queue.connectors.tool_client import WHOLE_EVERY, ToolBody, ToolClient
from label_queue.connectors.webhooks import StandardWebhook
from protocol.errors import InvalidLabel, MissingError, TransientError

MAX_DELETED_AT_ONCE = 100
"""Tasks deleted in one request: Argilla's own limit."""


class _Dataset(ToolBody):
    last_activity_at: str | None = None


class _Record(ToolBody):
    id: str
    external_id: str | None = None
    responses: list[Any] | None = None


class _RecordPage(ToolBody):
    items: list[Any]
    total: int | None = None


class _Pushed(ToolBody):
    items: tuple[Any, ...] = ()


class _Response(ToolBody):
    id: str
    values: dict[str, dict[str, Any]] | None = None
    status: str
    user_id: str | None = None
    updated_at: str


@dataclass(slots=True)
class _Known:
    """What is known of a dataset from the sweeps so far."""

    activity: str | None = None
    """When somebody was last active, before its records were read."""
    num_sweeps: int = 0
    """Sweeps since, and with, the one that read the records."""
    offset: str | None = None
    """What that one returned as its offset."""
    tasks: dict[str, str] = field(default_factory=dict)
    """Record ids by query_id."""
    touched: set[str] = field(default_factory=set)
    """Query ids of records that somebody began to answer."""


class ArgillaConnector:
    """The `Connector` port over one Argilla dataset."""

    def __init__(
        self, config: ArgillaConfig, client: ToolClient, hook: StandardWebhook, *, run_id: str
    ) -> None:
        self._config = config
        self._client = client
        self._hook = hook
        self._run_id = run_id
        self._dataset = f"/api/v1/datasets/{config.dataset_id}"
        self._records = f"{self._dataset}/records"
        self._known = _Known()

    @property
    def name(self) -> str:
        """Unique in the run."""
        return self._config.name

    async def sweep(self, offset: str | None) -> Sweep:
        """Read the whole dataset if somebody was active there; see `Connector.sweep`."""
        # Where this fails, or what was read last was not written down, nothing is taken for read.
        last, self._known = self._known, _Known()
        activity = await self._last_activity()
        is_known = activity is not None and activity == last.activity and offset == last.offset
        if is_known and last.num_sweeps < WHOLE_EVERY:
            last.num_sweeps += 1
            self._known = last
            return Sweep(tasks=dict(last.tasks), touched=frozenset(last.touched))
        known = _Known(activity=activity, num_sweeps=1)
        answers: list[Annotation | Unreadable] = []
        found, odd = await self._all_records()
        for record in found:
            query_id = self._query_of(record)
            if query_id is None:
                continue
            known.tasks[query_id] = record.id
            responses = record.responses or []
            if responses:
                known.touched.add(query_id)
            read = (_read_response(query_id, body) for body in responses)
            answers += [answer for answer in read if answer is not None]
        sweep = Sweep.of_whole_tool(answers, odd, tasks=known.tasks, touched=known.touched)
        known.offset = sweep.offset
        self._known = known
        return sweep

    async def _last_activity(self) -> str | None:
        """Return when somebody was last active; None where the server does not tell."""
        return (await self._client.read(self._dataset, _Dataset)).last_activity_at

    def _query_of(self, record: _Record) -> str | None:
        """Return the query that a record of ours asks; None for one of others."""
        # The run's name goes before the query's: a dataset may serve several runs.
        run_id, _, query_id = (record.external_id or "").rpartition("/")
        return query_id if run_id == self._run_id else None

    async def _all_records(self) -> tuple[list[_Record], list[Unreadable]]:
        """Return all records, and the rows that are no records.

        Raises TransientError if the dataset changed while it was read.
        """
        rows: list[Any] = []
        total = None
        limit = self._config.page_size
        while True:
            page = await self._client.read(
                self._records, _RecordPage, include="responses", offset=len(rows), limit=limit
            )
            if rows and page.total != total:
                raise TransientError(f"{self.name}: the dataset changed while it was read")
            total = page.total
            rows += page.items
            if len(page.items) < limit or (total is not None and len(rows) >= total):
                break
        records, odd = rows_of(_Record, rows)
        if total not in (None, len(rows)) or len({r.id for r in records}) < len(records):
            raise TransientError(f"{self.name}: the dataset changed while it was read")
        return records, odd

    async def push(self, tasks: Sequence[OutsideTask]) -> None:
        """Make records of queries. Idempotent: their external id names the query."""
        for start in range(0, len(tasks), self._config.page_size):
            chunk = tasks[start : start + self._config.page_size]
            items = [
                {
                    "external_id": f"{self._run_id}/{task.query.query_id}",
                    "fields": {"prompt": task.prompt, **task.texts},
                }
                for task in chunk
            ]
            path = f"{self._records}/bulk"
            response = await self._client.send("PUT", path, json={"items": items})
            pushed = self._client.body_of(response, path, _Pushed)
            for record in rows_of(_Record, pushed.items)[0]:
                query_id = self._query_of(record)
                if query_id is not None:
                    self._known.tasks[query_id] = record.id

    async def withdraw(self, task_ids: Sequence[str]) -> None:
        """Delete records that nobody has begun; see `Connector.withdraw`.

        Where somebody was active since the records were read, all is left to the next sweep. Those
        already gone are no error.
        """
        query_of = {task_id: query_id for query_id, task_id in self._known.tasks.items()}
        for start in range(0, len(task_ids), MAX_DELETED_AT_ONCE):
            chunk = task_ids[start : start + MAX_DELETED_AT_ONCE]
            activity = await self._last_activity()
            if activity is None or activity != self._known.activity:
                return
            with suppress(MissingError):
                await self._client.send("DELETE", self._records, params={"ids": ",".join(chunk)})
            for task_id in chunk:
                del self._known.tasks[query_of[task_id]]

    def check_hook_headers(self, headers: Mapping[str, str]) -> None:
        """Refuse a webhook by its headers alone; see `Connector.check_hook_headers`."""
        self._hook.check_headers(headers)

    def check_hook(self, headers: Mapping[str, str], body: bytes) -> bool:
        """Return whether a signed webhook is news; see `Connector.check_hook`."""
        return self._hook.check(headers, body)

    async def close(self) -> None:
        """Let go of connections. May be called twice."""
        await self._client.close()


def _read_response(query_id: str, body: object) -> Annotation | Unreadable | None:
    """Return a response, why it says nothing to us, or None for a draft: no answer yet."""
    row = body if isinstance(body, dict) else {"values": body}
    said = {key: row.get(key) for key in ("values", "status", "user_id")}
    try:
        response = _Response.model_validate(row)
        if response.status == "draft":
            return None
        if response.user_id is None:
            raise InvalidLabel("its user was deleted in the tool", "user_id")
        return Annotation(
            external_id=tool_id(response.id),
            updated_at=moment(response.updated_at),
            payload_sha256=digest_of(said),
            user=tool_id(response.user_id),
            query_id=query_id,
            answer=read_values(response.values or {}, is_discarded=response.status == "discarded"),
            submitted_at=unix_seconds(response.updated_at),
        )
    except ValueError as error:
        return unreadable(row.get("id"), said, error)
