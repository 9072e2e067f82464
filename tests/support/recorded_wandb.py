"""The part of wandb's server that runs, views and `wandb sync` speak to, as wandb 0.31.0 asks it.

Recorded from `wandb sync` of one log: RunResumeStatus, UpsertBucket with name and config, rows and
summary to `/files/ENTITY/PROJECT/RUN/file_stream` in pieces, UpsertBucket with the config alone
(axes of metrics came), CreateRunFiles, a PUT for each file, and a last piece that says `complete`
and the exit code. What it counts of wandb's own use goes to `/sdk/otel`.

What it is not told to know it refuses, and the tests look at `refused`.
"""

from __future__ import annotations

import json
import re
import threading
from base64 import b64encode
from dataclasses import dataclass, field
from typing import Any

from tests.support.recorded_artifacts import RecordedArtifacts
from tests.support.recorded_tool import Received

ENTITY = "team"
KEY = "0123456789" * 4
OPERATION = re.compile(r"(?:query|mutation)\s+(\w+)")


@dataclass
class StoredRun:
    """What the server has of a run."""

    project: str
    name: str
    group: str | None = None
    job_type: str | None = None
    config: dict[str, Any] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    exits: list[int] = field(default_factory=list)
    """Exit codes, of each time it was ended."""
    alerts: list[dict[str, str]] = field(default_factory=list)
    files: dict[str, Any] = field(default_factory=dict)

    def given(self) -> list[dict[str, Any]]:
        """Return the rows without wandb's own columns."""
        return [{n: value for n, value in row.items() if n[0] != "_"} for row in self.rows]

    def steps(self) -> list[int]:
        """Return the rows' steps."""
        return [row["_step"] for row in self.rows]


class RecordedWandb(RecordedArtifacts):
    """Takes runs, artifacts and views, and keeps them."""

    def __init__(self) -> None:
        super().__init__()
        self.runs: dict[str, StoredRun] = {}
        self.projects: set[str] = set()
        self.views: dict[str, dict[str, Any]] = {}
        """Workspaces and reports, by id."""
        self.sweep: dict[str, Any] = {}
        """Config of the one sweep there is."""
        self.choices: list[dict[str, Any]] = []
        """What its runs are yet to be given: values by parameter."""
        self.refuses = False
        """Whether every request is refused, as of nobody who is known."""
        self.refuses_artifacts = False
        """Whether artifacts are refused, but for a run's own tables."""
        self.refused: list[str] = []
        self.silent = threading.Event()
        """While it is set, nothing is answered before the tests end."""
        self.awake = threading.Event()
        self._one_by_one = threading.Lock()
        """Held while something is stored: several requests come at once."""

    def environment(self) -> dict[str, str]:
        """Return what leads wandb here, and nowhere else."""
        return {"WANDB_BASE_URL": self.url, "WANDB_API_KEY": KEY}

    def stop(self) -> None:
        self.awake.set()
        super().stop()

    def decode(self, raw: bytes) -> Any:
        try:
            return json.loads(raw)
        except ValueError:
            return raw

    def answer(self, request: Received) -> tuple[int, Any]:
        if self.silent.is_set():
            self.awake.wait(60)
        if self.refuses:
            return 401, {"error": "unauthorized"}
        if request.path == "/graphql":
            operation = OPERATION.search(request.body["query"])
            answer = getattr(self, f"_{operation[1]}", None) if operation else None
            if answer is None:
                self.refused.append(request.body["query"])
                return 400, {"errors": [{"message": "unknown"}]}
            given = request.body.get("variables") or {}
            if self.refuses_artifacts and _is_of_an_artifact(given):
                return 400, {"errors": [{"message": "no artifacts here"}]}
            with self._one_by_one:
                return 200, {"data": answer(given)}
        if request.path.endswith("/file_stream"):
            self._stream(self.runs[request.path.split("/")[-2]], request.body)
            return 200, {}
        if request.path.startswith("/uploads/"):
            _, _, run, name = request.path.split("/", 3)
            self.runs[run].files[name] = request.body
            return 200, {}
        if request.path.startswith("/artifacts/"):
            self.take_file(request.path, request.body)
            return 200, {}
        if request.path.startswith("/sdk/otel/"):
            return 200, {}
        self.refused.append(f"{request.method} {request.path}")
        return 404, {}

    def _stream(self, run: StoredRun, piece: dict[str, Any]) -> None:
        for name, part in (piece.get("files") or {}).items():
            lines = [json.loads(line) for line in part["content"]]
            if name == "wandb-history.jsonl":
                run.rows[part["offset"] :] = lines
            elif name == "wandb-summary.json":
                run.summary = lines[-1]
        if piece.get("complete"):
            run.exits.append(piece["exitcode"])

    def _UpsertBucket(self, given: dict[str, Any]) -> dict[str, Any]:
        self.projects.add(given["project"])
        is_new = given["name"] not in self.runs
        run = self.runs.setdefault(
            given["name"],
            StoredRun(
                given["project"],
                given["displayName"] or "",
                given.get("groupName"),
                given.get("jobType"),
            ),
        )
        run.config = json.loads(given["config"] or "null") or run.config
        project = {"id": "P", "name": run.project, "entity": {"id": "E", "name": ENTITY}}
        bucket = {
            "id": f"B{given['name']}",
            "name": given["name"],
            "displayName": run.name,
            "config": json.dumps(run.config),
            "historyLineCount": len(run.rows),
            "project": project,
        }
        return {"upsertBucket": {"bucket": bucket, "inserted": is_new}}

    def _RunResumeStatus(self, given: dict[str, Any]) -> dict[str, Any]:
        run = self.runs.get(given["name"])
        bucket = run and {
            "id": f"B{given['name']}",
            "name": given["name"],
            "displayName": run.name,
            "summaryMetrics": json.dumps(run.summary),
            "config": json.dumps(run.config),
            "historyLineCount": len(run.rows),
            "historyTail": json.dumps([json.dumps(row) for row in run.rows[-1:]]),
            "logLineCount": 0,
            "eventsLineCount": 0,
            "eventsTail": "[]",
            "tags": [],
            "wandbConfig": json.dumps({"t": 1}),
        }
        model = {"id": "P", "name": given["project"], "entity": {"id": "E", "name": ENTITY}}
        return {"model": {**model, "bucket": bucket}}

    def _CreateRunFiles(self, given: dict[str, Any]) -> dict[str, Any]:
        files = [
            {"name": name, "uploadUrl": f"{self.url}/uploads/{given['run']}/{name}"}
            for name in given["files"]
        ]
        return {"createRunFiles": {"runID": "R", "uploadHeaders": [], "files": files}}

    def _upsertView(self, given: dict[str, Any]) -> dict[str, Any]:
        """Take a report, of which more is said than of a workspace."""
        saved = self._UpsertView2(given)["upsertView"]
        project = {"id": "P", "name": given["projectName"], "entityName": given["entityName"]}
        view = {**saved["view"], "project": project, "updatedAt": "2030-01-01T12:00:00"}
        return {"upsertView": {**saved, "view": view}}

    def _ServerFeaturesQuery(self, given: dict[str, Any]) -> dict[str, Any]:
        return {"serverInfo": {"features": []}}

    def _SweepWithRuns(self, given: dict[str, Any]) -> dict[str, Any]:
        sweep = {
            "id": "S",
            "name": given["sweep"],
            "method": self.sweep["method"],
            "state": "RUNNING",
            "config": json.dumps(self.sweep),
            "controller": None,
            "scheduler": None,
            "runs": {"edges": []},
        }
        return {"project": {"sweep": sweep}}

    def _CreateAgent(self, given: dict[str, Any]) -> dict[str, Any]:
        return {"createAgent": {"agent": {"id": "A"}}}

    def _Heartbeat(self, given: dict[str, Any]) -> dict[str, Any]:
        """Give the agent one run at a time, and have it end after the last."""
        commands: list[dict[str, Any]] = []
        if not any(json.loads(given["runState"]).values()):
            commands = [{"type": "exit"}]
            if self.choices:
                chosen = {name: {"value": x} for name, x in self.choices.pop(0).items()}
                run_id = f"chosen-{len(self.choices)}"
                run = {"type": "run", "run_id": run_id, "program": None, "args": chosen}
                commands = [run]
        return {"agentHeartbeat": {"agent": {"id": "A"}, "commands": json.dumps(commands)}}

    def _Viewer(self, given: dict[str, Any]) -> dict[str, Any]:
        names = {"id": "V", "entity": ENTITY, "username": ENTITY, "email": "", "flags": "{}"}
        return {"viewer": {**names, "teams": {"edges": []}}}

    def _GetDefaultEntity(self, given: dict[str, Any]) -> dict[str, Any]:
        return self._Viewer(given)

    def _ProjectInternalId(self, given: dict[str, Any]) -> dict[str, Any]:
        number = b64encode(b"ProjectInternalId:7").decode()
        return {"project": {"id": "P", "internalId": number}}

    def _GetProjects(self, given: dict[str, Any]) -> dict[str, Any]:
        user = {**self._Viewer({})["viewer"], "name": ENTITY, "admin": False, "deletedAt": None}
        nodes = [
            {
                "__typename": "Project",
                "id": f"P{name}",
                "name": name,
                "entityName": ENTITY,
                "createdAt": "2030-01-01T12:00:00",
                "isBenchmark": False,
                "user": {**user, "apiKeys": {"edges": []}},
            }
            for name in sorted(self.projects)
        ]
        page = {"__typename": "PageInfo", "endCursor": None, "hasNextPage": False}
        return {"models": {"pageInfo": page, "edges": [{"node": node} for node in nodes]}}

    def _CreateProject(self, given: dict[str, Any]) -> dict[str, Any]:
        self.projects.add(given["input"]["name"])
        return {"upsertModel": {"__typename": "UpsertModelPayload", "project": None}}

    def _View(self, given: dict[str, Any]) -> dict[str, Any]:
        if given["name"] not in self.projects:
            return {"project": None}
        found = [view for view in self.views.values() if view["name"] == given["viewName"]]
        return {"project": {"allViews": {"edges": [{"node": view} for view in found]}}}

    def _UpsertView2(self, given: dict[str, Any]) -> dict[str, Any]:
        is_new = not given.get("id")
        given["id"] = given.get("id") or f"W{len(self.views)}"
        self.views[given["id"]] = given
        return {"upsertView": {"view": given, "inserted": is_new}}

    def _NotifyScriptableRunAlert(self, given: dict[str, Any]) -> dict[str, Any]:
        self.runs[given["runName"]].alerts.append(given)
        return {"notifyScriptableRunAlert": {"success": True}}


def _is_of_an_artifact(given: dict[str, Any]) -> bool:
    kind = (given.get("input") or {}).get("artifactTypeName")
    return kind not in (None, "run_table")
