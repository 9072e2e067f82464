"""The OpenAPI says all that is answered."""

from __future__ import annotations

import re

import httpx

READ = {"200", "401", "421", "429", "503"}
OWNER_READ = READ | {"403"}
BODY = {"408", "413", "415"}
WRITE = BODY | {"200", "401", "403", "404", "409", "421", "422", "429", "503", "507"}
ANSWERS = {
    ("get", "tasks/next"): READ | {"204", "403", "422", "507"},
    ("get", "tasks/held"): READ | {"403"},
    ("post", "labels"): WRITE - {"404"},
    ("post", "assignments/{assignment_id}/heartbeat"): READ | {"403", "404", "422"},
    ("get", "run"): READ | {"403"},
    ("get", "me"): READ | {"403"},
    ("post", "cord"): WRITE - {"404", "409"},
    ("get", "owner/overview"): OWNER_READ,
    ("get", "owner/stream"): OWNER_READ,
    ("get", "owner/labelers"): OWNER_READ | {"422"},
    ("post", "owner/labelers"): WRITE,
    ("post", "owner/labelers/{labeler_id}/role"): WRITE,
    ("post", "owner/labelers/{labeler_id}/tokens/{token_id}/revoke"): WRITE,
    ("get", "owner/labelers/agreement"): OWNER_READ | {"422"},
    ("get", "owner/labelers/{labeler_id}/answers"): OWNER_READ | {"404", "422"},
    ("get", "owner/labelers/{labeler_id}/exclusion"): OWNER_READ | {"404", "422"},
    ("post", "owner/labelers/{labeler_id}/exclude"): WRITE,
    ("post", "owner/labelers/{labeler_id}/reinstate"): WRITE,
    ("post", "owner/labelers/{labeler_id}/undo"): WRITE,
    ("post", "owner/labelers/{labeler_id}/revoke"): WRITE - {"200"} | {"204"},
    ("post", "owner/cord/pull"): WRITE,
    ("post", "owner/cord/release"): WRITE,
    ("post", "owner/rollback"): WRITE,
    ("get", "owner/gold"): OWNER_READ | {"422"},
    ("get", "owner/gold/agreements"): OWNER_READ | {"422"},
    ("post", "owner/gold"): WRITE,
    ("post", "owner/gold/written"): WRITE,
    ("post", "owner/gold/{gold_id}/edit"): WRITE,
    ("post", "owner/gold/{gold_id}/retire"): WRITE,
    ("post", "owner/gold/{gold_id}/bring_back"): WRITE,
    ("post", "/hooks/{connector}"): BODY | {"200", "401", "404", "421", "422", "503"},
}


async def test_every_answer_is_documented(ann: httpx.AsyncClient) -> None:
    paths = (await ann.get("/openapi.json")).json()["paths"]
    documented = {
        (method, path.removeprefix("/api/v1/")): set(operation["responses"])
        for path, operations in paths.items()
        for method, operation in operations.items()
    }
    assert documented == ANSWERS


async def test_every_schema_named_is_defined(ann: httpx.AsyncClient) -> None:
    page = await ann.get("/openapi.json")
    named = set(re.findall(r'"#/components/schemas/(\w+)"', page.text))
    assert {"Task", "LabelSubmission", "LineAnswer", "ErrorAnswer", "Exclude", "Overview"} <= named
    assert "HTTPValidationError" not in named  # ours is ErrorAnswer
    assert named <= set(page.json()["components"]["schemas"])
