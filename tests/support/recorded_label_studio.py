"""Label Studio as its documentation describes it: tasks, annotations and unsigned webhooks."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from functools import partial
from typing import Any

from tests.support import outside
from tests.support.recorded_tool import Received, RecordedTool

PROJECT = 3
TOKEN = "secret-label-studio-token"
SECRET = "a secret header"
"""What its webhooks send in a header."""
NAME = "label_studio"
"""Its connector's, where a config gives no other."""
turn, shown = partial(outside.turn, NAME), partial(outside.shown, NAME)


class RecordedLabelStudio(RecordedTool):
    """One project. `total` counts tasks; pages beyond the last are 404, as in the real one."""

    def __init__(self) -> None:
        super().__init__()
        self.tasks: dict[int, dict[str, Any]] = {}
        self._next_task = 100
        self._next_annotation = 1
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        """Its clock, by which it notes when a task has changed."""

    def answer(self, request: Received) -> tuple[int, Any]:
        if request.headers.get("authorization") != f"Token {TOKEN}":
            return 401, {"detail": "Invalid token."}
        if request.method == "GET" and request.path == "/api/tasks/":
            return self._list(request.query)
        if request.method == "POST" and request.path == f"/api/projects/{PROJECT}/import":
            return self._import(request.body)
        if request.path.startswith("/api/tasks/"):
            task_id = int(request.path.removeprefix("/api/tasks/").rstrip("/"))
            if task_id not in self.tasks:
                return 404, {"detail": "Not found."}
            if request.method == "GET":
                return 200, self.tasks[task_id]
            if request.method == "DELETE":
                del self.tasks[task_id]
                return 204, None
        return 404, {"detail": "Not found."}

    def _list(self, query: dict[str, str]) -> tuple[int, Any]:
        if query.get("project") != str(PROJECT) or query.get("fields") != "all":
            return 404, {"detail": "Not found."}
        page, size = int(query["page"]), int(query["page_size"])
        tasks = [task for task in self.tasks.values() if _is_asked_for(task, query)]
        shown = tasks[(page - 1) * size : page * size]
        if page > 1 and not shown:
            return 404, {"detail": "Invalid page."}
        annotations = sum(len(task["annotations"]) for task in tasks)
        return 200, {
            "tasks": shown,
            "total": len(tasks),
            "total_annotations": annotations,
            "total_predictions": 0,
        }

    def _import(self, body: list[dict[str, Any]]) -> tuple[int, Any]:
        for item in body:
            self.add_task(item["data"])
        return 201, {"task_count": len(body), "annotation_count": 0, "duration": 0.1}

    # --- what people do there ------------------------------------------------------------------

    def add_task(self, fields: dict[str, Any]) -> int:
        """Somebody imported a task."""
        self._next_task += 1
        self.tasks[self._next_task] = {
            "id": self._next_task,
            "data": fields,
            "project": PROJECT,
            "annotations": [],
            "drafts": [],
            "predictions": [],
            "cancelled_annotations": 0,
            "updated_at": self.now.isoformat(),
        }
        return self._next_task

    def task_of(self, query_id: str) -> dict[str, Any]:
        """Return the task of a query."""
        [task] = [each for each in self.tasks.values() if each["data"].get("query_id") == query_id]
        return task

    def annotate(
        self,
        query_id: str,
        result: list[dict[str, Any]],
        *,
        user: int = 7,
        at: str = "2026-01-01T00:00:00Z",
        was_cancelled: bool = False,
    ) -> dict[str, Any]:
        """Somebody submitted an annotation."""
        annotation = {
            "id": self._next_annotation,
            "result": result,
            "was_cancelled": was_cancelled,
            "ground_truth": False,
            "created_at": at,
            "updated_at": at,
            "created_ago": "0 minutes",
            "lead_time": 4.288,
            "task": self.task_of(query_id)["id"],
            "completed_by": user,
        }
        self._next_annotation += 1
        self.task_of(query_id)["annotations"].append(annotation)
        self._note(annotation)
        return annotation

    def change(self, annotation: dict[str, Any], **changes: Any) -> None:
        """Somebody changed an annotation."""
        annotation.update(changes)
        self._note(annotation)

    def _note(self, annotation: dict[str, Any]) -> None:
        self.tasks[annotation["task"]]["updated_at"] = self.now.isoformat()

    def delete(self, annotation: dict[str, Any]) -> None:
        """Somebody deleted an annotation."""
        self.tasks[annotation["task"]]["annotations"].remove(annotation)
        self._note(annotation)


def _is_asked_for(task: dict[str, Any], query: dict[str, str]) -> bool:
    """Apply the one filter that is asked for: noted at a moment or after."""
    if "query" not in query or "updated_at" not in task:
        return True
    asked = json.loads(query["query"])
    [noted] = asked["filters"]["items"]
    assert noted["filter"] == "filter:tasks:updated_at"
    assert noted["operator"] == "greater_or_equal"
    assert noted["type"] == "Datetime"
    assert asked["ordering"] == ["tasks:id"]
    since = datetime.strptime(noted["value"], "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
    return datetime.fromisoformat(task["updated_at"]) >= since


def pick(letter: str) -> list[dict[str, Any]]:
    """A single choice, as the Choices tag of our configuration says it."""
    return [
        {
            "id": "Dx_aB91ISN",
            "from_name": "preference",
            "to_name": "prompt",
            "type": "choices",
            "value": {"choices": [letter]},
        }
    ]


def pairwise(side: str) -> list[dict[str, Any]]:
    """A choice of two, as the Pairwise tag says it."""
    return [
        {
            "id": "q1",
            "from_name": "preference",
            "to_name": "a",
            "type": "pairwise",
            "value": {"selected": side},
        }
    ]


def rank(*letters: str) -> list[dict[str, Any]]:
    """A ranking, as List and Ranker say it: by the Ranker's name."""
    return [
        {
            "id": "PpwBv_NMxd",
            "from_name": "preference",
            "to_name": "responses",
            "type": "ranker",
            "value": {"ranker": {"preference": list(letters)}},
        }
    ]


def created_hook(annotation: dict[str, Any]) -> dict[str, Any]:
    """The payload of ANNOTATION_CREATED: unsigned, and it may quote a token."""
    return {
        "action": "ANNOTATION_CREATED",
        "annotation": annotation,
        "project": {"id": PROJECT, "created_by": {"token": TOKEN}},
    }


def deleted_hook(annotation: dict[str, Any]) -> dict[str, Any]:
    """The payload of ANNOTATIONS_DELETED: nothing but ids."""
    return {"action": "ANNOTATIONS_DELETED", "annotations": [{"id": annotation["id"]}]}
