"""Argilla 2 as its API and webhooks are documented: records, responses, signed hooks."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

from tests.support.recorded_tool import Received, RecordedTool

DATASET = "5a8c4e3a-0000-4000-8000-00000000000a"
TOKEN = "secret-argilla-key"
HOOK_SECRET = base64.b64encode(b"a secret of the webhook").decode()
ANN = "11111111-0000-4000-8000-000000000001"
BOB = "22222222-0000-4000-8000-000000000002"


class RecordedArgilla(RecordedTool):
    """One dataset. Bulk PUT upserts by external id."""

    def __init__(self) -> None:
        super().__init__()
        self.records: dict[str, dict[str, Any]] = {}
        self._seen = ""
        self._num_activities = 0
        self._next_id = 0
        self._num_hooks = 0

    def answer(self, request: Received) -> tuple[int, Any]:
        if request.headers.get("x-argilla-api-key") != TOKEN:
            return 401, {"detail": {"code": "argilla.api.errors::UnauthorizedError"}}
        if request.method == "GET" and request.path == f"/api/v1/datasets/{DATASET}":
            return 200, {"id": DATASET, "last_activity_at": self._last_activity_at()}
        records = f"/api/v1/datasets/{DATASET}/records"
        if request.method == "GET" and request.path == records:
            return self._list(request.query)
        if request.method == "PUT" and request.path == f"{records}/bulk":
            return self._upsert(request.body["items"])
        if request.method == "DELETE" and request.path == records:
            for record_id in request.query["ids"].split(","):
                self.records.pop(record_id, None)
            return 204, None
        return 404, {"detail": "not found"}

    def _last_activity_at(self) -> str:
        """Return when a response was last made, changed or deleted."""
        now = json.dumps(
            [record["responses"] for record in self.records.values() if record["responses"]]
        )
        self._num_activities += now != self._seen
        self._seen = now
        return f"2026-01-01T00:00:00.{self._num_activities:06d}"

    def _list(self, query: dict[str, str]) -> tuple[int, Any]:
        offset, limit = int(query["offset"]), int(query["limit"])
        records = list(self.records.values())
        shown = records[offset : offset + limit]
        if query.get("include") != "responses":
            shown = [{**record, "responses": None} for record in shown]
        return 200, {"items": shown, "total": len(records)}

    def _upsert(self, items: list[dict[str, Any]]) -> tuple[int, Any]:
        assert 1 <= len(items) <= 500
        by_external = {record["external_id"]: record for record in self.records.values()}
        for item in items:
            record = by_external.get(item["external_id"]) or self._make(item["external_id"])
            record["fields"] = item["fields"]
        return 200, {"items": list(self.records.values()), "updated_item_ids": []}

    def _make(self, external_id: str) -> dict[str, Any]:
        record_id = self._new_id()
        record: dict[str, Any] = {
            "id": record_id,
            "status": "pending",
            "fields": {},
            "metadata": None,
            "external_id": external_id,
            "responses": [],
            "inserted_at": "2026-01-01T00:00:00",
            "updated_at": "2026-01-01T00:00:00",
        }
        self.records[record_id] = record
        return record

    def _new_id(self) -> str:
        self._next_id += 1
        return f"aaaaaaaa-0000-4000-8000-{self._next_id:012d}"

    # --- what people do there ------------------------------------------------------------------

    def record_of(self, query_id: str) -> dict[str, Any]:
        """Return the record of a query."""
        [record] = [
            each for each in self.records.values() if each["external_id"].endswith(f"/{query_id}")
        ]
        return record

    def respond(
        self,
        query_id: str,
        values: dict[str, Any] | None,
        *,
        user: str | None = ANN,
        at: str = "2026-01-01T00:00:00",
        status: str = "submitted",
    ) -> dict[str, Any]:
        """Somebody submitted, discarded or drafted a response."""
        wrapped = None if values is None else {name: {"value": v} for name, v in values.items()}
        record = self.record_of(query_id)
        response = {
            "id": self._new_id(),
            "values": wrapped,
            "status": status,
            "record_id": record["id"],
            "user_id": user,
            "inserted_at": at,
            "updated_at": at,
        }
        record["responses"].append(response)
        return response

    def delete(self, response: dict[str, Any]) -> None:
        """Somebody deleted a response."""
        self.records[response["record_id"]]["responses"].remove(response)

    def hook(
        self, event: str, payload: dict[str, Any], *, at: float
    ) -> tuple[dict[str, str], bytes]:
        """Return headers and body of a webhook; each delivery, a retry too, has a new id."""
        self._num_hooks += 1
        body = json.dumps({"type": event, "version": 1, "data": payload}).encode()
        return sign(f"msg_{self._num_hooks}", at, body), body


def sign(webhook_id: str, at: float, body: bytes, secret: str = HOOK_SECRET) -> dict[str, str]:
    """Return the headers of a webhook signed by Standard Webhooks 1.0."""
    timestamp = str(int(at))
    signed = f"{webhook_id}.{timestamp}.".encode() + body
    digest = hmac.new(base64.b64decode(secret), signed, hashlib.sha256).digest()
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }
