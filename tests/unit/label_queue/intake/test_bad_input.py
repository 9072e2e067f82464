"""Every row of the bad-input table that is the labelling API's own."""

from __future__ import annotations

import codecs
import json
from typing import Any

import httpx
import pytest

from label_queue.config import IntakeConfig
from label_queue.intake.app import build_app
from label_queue.ledger.records import LabelerToken
from label_queue.queue import LabelQueue
from tests.support.labels import ManualClock
from tests.support.memory_ledger import MemoryLedger
from tests.unit.label_queue.conftest import MakeQueue
from tests.unit.label_queue.intake.client import choice, client_of, post, take
from tests.unit.label_queue.labeling import answer_orders


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "x"}])
async def test_no_or_wrong_token(queue: LabelQueue, headers: dict[str, str]) -> None:
    async with client_of(queue) as client:
        for method, path in (
            ("GET", "tasks/next"),
            ("POST", "labels"),
            ("GET", "run"),
            ("POST", "assignments/x/heartbeat"),
        ):
            answer = await client.request(method, f"/api/v1/{path}", headers=headers)
            assert (answer.status_code, answer.json()["error"]) == (401, "Unauthenticated")
            assert answer.headers["www-authenticate"] == "Bearer"


async def test_an_expired_token(ann: httpx.AsyncClient, clock: ManualClock) -> None:
    clock.now += 100_000.0
    answer = await ann.get("/api/v1/run")
    assert answer.status_code == 401
    assert "expired" in answer.json()["message"]


async def test_tokens_are_stored_as_digests(queue: LabelQueue, ledger: MemoryLedger) -> None:
    token = await queue.owner.add_labeler("ann")
    [stored] = ledger.read(LabelerToken)
    assert token not in repr(stored)
    assert len(stored.token_sha256) == 64


async def test_another_labelers_assignment(ann: httpx.AsyncClient, bob: httpx.AsyncClient) -> None:
    task = await take(ann)
    answer = await post(bob, choice(task))
    assert (answer.status_code, answer.json()["field"]) == (403, "assignment_id")
    beat = await bob.post(f"/api/v1/assignments/{task.assignment_id}/heartbeat")
    assert beat.status_code == 403


async def test_a_labeler_id_in_the_body(ann: httpx.AsyncClient) -> None:
    answer = await post(ann, choice(await take(ann), labeler_id="bob"))
    assert (answer.status_code, answer.json()["field"]) == (403, "labeler_id")


@pytest.mark.parametrize("path", ["labels", "assignments/x/heartbeat"])
async def test_a_post_from_another_site(ann: httpx.AsyncClient, path: str) -> None:
    headers = {"Origin": "http://elsewhere.example"}
    answer = await ann.post(f"/api/v1/{path}", json={}, headers=headers)
    assert (answer.status_code, answer.json()["error"]) == (403, "Forbidden")
    same = await ann.post(f"/api/v1/{path}", json={}, headers={"Origin": "http://127.0.0.1"})
    assert same.status_code != 403


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"assignment_id": "none"}, "assignment_id"),
        ({"assignment_id": None}, "assignment_id"),
        ({"assignment_id": 7}, "assignment_id"),
        ({"choice": "c-none"}, "choice"),
        ({"choice": None}, "choice"),
        ({"outcome": "best"}, "outcome"),
        ({"outcome": "ranking"}, "outcome"),
        ({"outcome": "tie"}, "choice"),
        ({"ranking": ["a", "b"]}, "ranking"),
        ({"revision": -1}, "revision"),
        ({"revision": 1.5}, "revision"),
        ({"revision": "0"}, "revision"),
        ({"revision": True}, "revision"),
        ({"strength": 5}, "strength"),
        ({"active_ms": -1}, "active_ms"),
        ({"active_ms": 10**30}, "active_ms"),
        ({"shown_at": "noon"}, "shown_at"),
        ({"comment": "x" * 4_001}, "comment"),
        ({"model": "gpt"}, "model"),
        ({"run_id": "run-2"}, "run_id"),
        (
            {"spans": [{"candidate_id": "x", "start": 0, "end": 1, "mark": "good"}]},
            "spans.0.candidate_id",
        ),
        ({"spans": [{"candidate_id": "x", "start": 0, "end": 1, "mark": "fine"}]}, "spans.0.mark"),
    ],
)
async def test_wrong_fields_are_named(
    make_queue: MakeQueue, change: dict[str, Any], field: str
) -> None:
    queue = make_queue()
    await answer_orders(queue)
    limits = IntakeConfig()
    app = build_app(queue, limits)
    token = await queue.owner.add_labeler("ann")
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app),
        base_url="http://127.0.0.1",
        headers={"Authorization": f"Bearer {token}"},
    ) as client:
        answer = await post(client, choice(await take(client), **change))
    assert (answer.status_code, answer.json()["error"]) == (422, "InvalidLabel")
    assert answer.json()["field"] == field
    assert answer.json()["message"]


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
async def test_numbers_that_are_none(ann: httpx.AsyncClient, number: str) -> None:
    task = await take(ann)
    body = json.dumps(choice(task))[:-1] + f', "shown_at": {number}}}'
    answer = await ann.post(
        "/api/v1/labels", content=body, headers={"Content-Type": "application/json"}
    )
    assert (answer.status_code, answer.json()["field"]) == (422, "shown_at")


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"comment": "\\ud800"}']
)
async def test_bodies_that_are_no_label(ann: httpx.AsyncClient, content: bytes) -> None:
    answer = await ann.post(
        "/api/v1/labels", content=content, headers={"Content-Type": "application/json"}
    )
    assert (answer.status_code, answer.json()["error"]) == (422, "InvalidLabel")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be"])
@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        ("labels", "application/json"),
        ("labels", "application/x-ndjson"),
        ("cord", "application/json"),
    ],
)
async def test_a_body_that_is_not_utf_8_is_said_to_be_that(
    ann: httpx.AsyncClient, path: str, content_type: str, encoding: str
) -> None:
    answer = await ann.post(
        f"/api/v1/{path}",
        content='{"assignment_id": "x", "outcome": "tie"}'.encode(encoding),
        headers={"Content-Type": content_type},
    )
    assert (answer.status_code, answer.json()["error"]) == (422, "InvalidLabel")
    assert "send it as UTF-8" in answer.json()["message"]


async def test_a_byte_order_mark_is_no_part_of_a_body(ann: httpx.AsyncClient) -> None:
    headers = {"Content-Type": "application/json"}
    label = json.dumps(choice(await take(ann))).encode()
    for path, body in (("labels", label), ("cord", b'{"reason": "it swears"}')):
        content = codecs.BOM_UTF8 + body
        answer = await ann.post(f"/api/v1/{path}", content=content, headers=headers)
        assert answer.status_code == 200


async def test_a_content_type_that_is_not_taken(ann: httpx.AsyncClient) -> None:
    answer = await ann.post("/api/v1/labels", content=b"x", headers={"Content-Type": "text/csv"})
    assert (answer.status_code, answer.json()["field"]) == (422, "Content-Type")


@pytest.mark.parametrize(
    ("path", "body", "key"),
    [
        ("labels", '{"assignment_id": "x", "outcome": "tie", "outcome": "skip"}', "outcome"),
        (
            "labels",
            f'{{"assignment_id": "x", "outcome": "tie", "active_ms": {"9" * 500}, "active_ms": 1}}',
            "active_ms",
        ),
        (
            "labels",
            '{"assignment_id": "x", "outcome": "tie", "spans": [{"candidate_id": "c", "start": 0, '
            '"start": 1, "end": 2, "mark": "good"}]}',
            "start",
        ),
        ("cord", '{"reason": "odd", "reason": "bad"}', "reason"),
    ],
)
async def test_a_key_that_is_there_twice(
    ann: httpx.AsyncClient, path: str, body: str, key: str
) -> None:
    headers = {"Content-Type": "application/json"}
    answer = await ann.post(f"/api/v1/{path}", content=body, headers=headers)
    assert (answer.status_code, answer.json()["field"]) == (422, key)


@pytest.mark.parametrize("path", ["labels", "cord", "owner/cord/pull", "owner/gold/written"])
async def test_a_body_that_is_compressed(queue: LabelQueue, path: str) -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    async with client_of(queue, await queue.owner.add_labeler("olga", "owner")) as olga:
        answer = await olga.post(f"/api/v1/{path}", content=b"\x1f\x8b\x08", headers=headers)
    assert (answer.status_code, answer.json()["field"]) == (415, "Content-Encoding")
    assert "without Content-Encoding" in answer.json()["message"]


@pytest.mark.parametrize("reason", ["", " \t\n", "\u200b\u3000", "\0"])
@pytest.mark.parametrize(
    "path", ["cord", "owner/cord/pull", "owner/labelers/ann/exclude", "owner/labelers/ann/revoke"]
)
async def test_a_reason_that_says_nothing(queue: LabelQueue, path: str, reason: str) -> None:
    await queue.owner.add_labeler("ann")
    async with client_of(queue, await queue.owner.add_labeler("olga", "owner")) as olga:
        answer = await olga.post(f"/api/v1/{path}", json={"reason": reason})
        assert (answer.status_code, answer.json()["field"]) == (422, "reason")
        said = await olga.post(f"/api/v1/{path}", json={"reason": " \U0001f92c "})
    assert said.status_code in (200, 204)


@pytest.mark.parametrize(
    ("change", "field"), [({"choice": "c-none"}, "choice"), ({"model": "gpt"}, "model")]
)
async def test_what_is_wrong_with_a_label_is_told_also_where_no_copy_of_it_can_be_kept(
    queue: LabelQueue,
    ann: httpx.AsyncClient,
    ledger: MemoryLedger,
    change: dict[str, Any],
    field: str,
) -> None:
    good = choice(await take(ann))
    bad = good | change
    ledger.is_full = True
    answer = await post(ann, bad)
    assert (answer.status_code, answer.json()["field"]) == (422, field)
    headers = {"Content-Type": "application/x-ndjson"}
    batch = await ann.post("/api/v1/labels", content=json.dumps(bad), headers=headers)
    assert [json.loads(line)["status"] for line in batch.text.splitlines()] == [422]
    assert (await post(ann, good)).status_code == 507
    ledger.is_full = False
    await queue.close()
    answer = await post(ann, bad)
    assert (answer.status_code, answer.json()["field"]) == (422, field)


@pytest.mark.parametrize("wait_s", ["nan", "-1", "soon"])
async def test_a_wait_that_is_none(ann: httpx.AsyncClient, wait_s: str) -> None:
    answer = await ann.get("/api/v1/tasks/next", params={"wait_s": wait_s})
    assert (answer.status_code, answer.json()["field"]) == (422, "wait_s")
