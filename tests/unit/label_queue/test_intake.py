"""The labelling API as a client sees it, and every row of the bad-input table that is its own."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator

import httpx
import pytest

from label_queue.config import IntakeConfig, LeaseConfig
from label_queue.intake.app import NDJSON, build_app
from label_queue.intake.schemas import LineAnswer, RunInfo, Task
from label_queue.queue import LabelQueue
from tests.support.labels import ManualClock, make_config
from tests.support.memory_ledger import MemoryLedger
from tests.unit.label_queue.conftest import MakeQueue
from tests.unit.label_queue.labeling import answer_orders

LIMITS = IntakeConfig(
    requests_per_s=1.0,
    request_burst=20,
    max_body_bytes=2_000,
    max_batch_bytes=10_000,
    max_batch_labels=5,
    max_dead_letters=3,
    dead_letter_chars=50,
    token_ttl_s=100_000.0,
)


@pytest.fixture
async def queue(make_queue: MakeQueue) -> LabelQueue:
    queue = make_queue(make_config(intake=LIMITS, lease=LeaseConfig(max_open=5)))
    await answer_orders(queue)
    return queue


def client_of(queue: LabelQueue, token: str = "") -> httpx.AsyncClient:
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(build_app(queue, LIMITS)),
        base_url="http://andon",
        headers={"Authorization": f"Bearer {token}"} if token else {},
    )


@pytest.fixture
async def ann(queue: LabelQueue) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(queue, await queue.add_labeler("ann")) as client:
        yield client


@pytest.fixture
async def bob(queue: LabelQueue) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(queue, await queue.add_labeler("bob")) as client:
        yield client


async def take(client: httpx.AsyncClient) -> Task:
    answer = await client.get("/api/v1/tasks/next")
    assert answer.status_code == 200
    return Task.model_validate_json(answer.content)


def choice(task: Task, index: int = 0, **fields: object) -> dict[str, object]:
    return {
        "assignment_id": task.assignment_id,
        "outcome": "choice",
        "choice": task.candidates[index].candidate_id,
        **fields,
    }


async def post(client: httpx.AsyncClient, body: object) -> httpx.Response:
    return await client.post("/api/v1/labels", json=body)


# --- what works --------------------------------------------------------------------------------


async def test_a_task_names_no_model_and_no_version(ann: httpx.AsyncClient) -> None:
    task = (await ann.get("/api/v1/tasks/next")).json()
    assert set(task) == {
        "assignment_id",
        "query_id",
        "run_id",
        "kind",
        "prompt",
        "candidates",
        "lease_until",
        "guideline_version",
    }
    assert task["prompt"] == {"text": "the soup was"}
    assert [set(candidate) for candidate in task["candidates"]] == [{"candidate_id", "text"}] * 4


async def test_the_order_shown_is_drawn_for_each_assignment(
    ann: httpx.AsyncClient, ledger: MemoryLedger
) -> None:
    tasks = [await take(ann) for _ in range(5)]
    shown = [tuple(c.candidate_id for c in task.candidates) for task in tasks]
    assert shown == [assignment.shown_order for assignment in ledger.assignments()]
    orders = {tuple(sorted(range(4), key=lambda i: names[i])) for names in shown}
    assert len(orders) > 1


async def test_a_label_is_in_the_ledger_when_it_is_acknowledged(
    ann: httpx.AsyncClient, ledger: MemoryLedger
) -> None:
    task = await take(ann)
    body = choice(task, 2, strength=3, active_ms=1_500, shown_at=99.0, comment="ü 😀")
    body["spans"] = [{"candidate_id": body["choice"], "start": 0, "end": 4, "mark": "good"}]
    answer = await post(ann, body)
    assert answer.status_code == 200
    [event] = ledger.events()
    assert answer.json() == {
        "event_id": f"{task.assignment_id}:0",
        "seq": 1,
        "received_at": event.received_at,
    }
    assert (event.labeler_id, event.choice, event.strength) == ("ann", body["choice"], 3)
    assert event.comment == "ü 😀"
    assert event.spans == ((body["choice"], 0, 4, "good"),)
    assert event.received_at == 1_000.0  # the server's clock, whatever the client's says


async def test_the_same_label_again_gets_the_first_answer_again(
    ann: httpx.AsyncClient, queue: LabelQueue, clock: ManualClock, ledger: MemoryLedger
) -> None:
    task = await take(ann)
    first = await post(ann, choice(task))
    clock.now += 10.0
    again = await post(ann, choice(task))
    assert (again.status_code, again.json()) == (200, first.json())
    assert len(ledger.events()) == 1
    assert (await queue.stats())["labels/duplicate"] == 1


async def test_the_same_key_with_another_body_is_a_conflict(ann: httpx.AsyncClient) -> None:
    task = await take(ann)
    await post(ann, choice(task, 0))
    answer = await post(ann, choice(task, 1))
    assert (answer.status_code, answer.json()["error"]) == (409, "LabelConflict")
    assert "revision 1" in answer.json()["message"]


async def test_simultaneous_repeats_take_effect_once(
    ann: httpx.AsyncClient, ledger: MemoryLedger
) -> None:
    task = await take(ann)
    answers = await asyncio.gather(*(post(ann, choice(task)) for _ in range(5)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.text for answer in answers}) == 1
    assert len(ledger.events()) == 1


async def test_a_change_of_mind_is_the_next_revision(
    ann: httpx.AsyncClient, queue: LabelQueue, ledger: MemoryLedger
) -> None:
    task = await take(ann)
    early = await post(ann, choice(task, 1, revision=1))
    assert (early.status_code, early.json()["field"]) == (422, "revision")
    await post(ann, choice(task, 0))
    assert (await post(ann, choice(task, 1, revision=1))).status_code == 200
    assert [event.type for event in ledger.events()] == ["submit", "revise"]
    assert (await queue.run_info()).labels_received == 1


async def test_an_empty_queue_answers_no_content(make_queue: MakeQueue) -> None:
    queue = make_queue()
    async with client_of(queue, await queue.add_labeler("ann")) as client:
        answer = await client.get("/api/v1/tasks/next")
    assert (answer.status_code, answer.content) == (204, b"")


async def test_a_run_that_has_all_its_labels_gives_no_more_tasks(make_queue: MakeQueue) -> None:
    queue = make_queue(make_config(total=2, initial=2))
    await answer_orders(queue)
    async with client_of(queue, await queue.add_labeler("ann")) as client:
        for _ in range(2):
            await post(client, choice(await take(client)))
        answer = await client.get("/api/v1/tasks/next", params={"wait_s": 20})
        info = (await client.get("/api/v1/run")).json()
    assert answer.status_code == 204
    assert info["is_closed"]


async def test_a_batch_is_answered_line_by_line(
    ann: httpx.AsyncClient, bob: httpx.AsyncClient, ledger: MemoryLedger
) -> None:
    first, second, foreign = await take(ann), await take(ann), await take(bob)
    lines = [
        json.dumps(choice(first)),
        "",
        "{not json",
        json.dumps(choice(foreign)),
        json.dumps(choice(second)),
        json.dumps(choice(second, 1, revision=1)),
    ]
    answer = await ann.post(
        "/api/v1/labels", content="\n".join(lines), headers={"Content-Type": NDJSON}
    )
    assert answer.headers["content-type"] == NDJSON
    results = [LineAnswer.model_validate_json(line) for line in answer.text.splitlines()]
    assert [(result.line, result.status) for result in results] == [
        (0, 200),
        (2, 422),
        (3, 403),
        (4, 200),
        (5, 200),
    ]
    assert [event.revision for event in ledger.events()] == [0, 0, 1]


async def test_a_heartbeat_renews_the_lease(ann: httpx.AsyncClient, clock: ManualClock) -> None:
    task = await take(ann)
    clock.now += 100.0
    answer = await ann.post(f"/api/v1/assignments/{task.assignment_id}/heartbeat")
    assert answer.json() == {"lease_until": task.lease_until + 100.0}


async def test_a_lapsed_task_is_handed_to_its_holder_again(
    ann: httpx.AsyncClient, clock: ManualClock, ledger: MemoryLedger
) -> None:
    first = await take(ann)
    clock.now += 600.0
    again = await take(ann)
    assert again.assignment_id == first.assignment_id
    assert again.candidates == first.candidates
    assert again.lease_until == first.lease_until + 600.0
    assert len(ledger.assignments()) == 1


async def test_a_late_answer_is_kept(
    ann: httpx.AsyncClient, bob: httpx.AsyncClient, clock: ManualClock, ledger: MemoryLedger
) -> None:
    late = await take(ann)
    clock.now += 601.0
    taken_over = await take(bob)
    assert taken_over.query_id == late.query_id
    await post(bob, choice(taken_over))
    assert (await post(ann, choice(late))).status_code == 200
    assert len(ledger.events()) == 2


async def test_a_waiting_labeler_gets_the_next_task_as_it_comes(make_queue: MakeQueue) -> None:
    queue = make_queue()
    token = await queue.add_labeler("ann")
    async with client_of(queue, token) as client:
        waiting = asyncio.create_task(client.get("/api/v1/tasks/next", params={"wait_s": 20}))
        await asyncio.sleep(0)
        await answer_orders(queue)
        assert (await waiting).status_code == 200


async def test_the_run_says_how_it_stands(ann: httpx.AsyncClient) -> None:
    await post(ann, choice(await take(ann)))
    info = RunInfo.model_validate_json((await ann.get("/api/v1/run")).content)
    assert info == RunInfo(
        run_id="run-1",
        kind="best_of_k",
        guideline_version="1",
        labels_total=40,
        labels_received=1,
        labels_scheduled=10,
        queries_outstanding=13,
        is_closed=False,
    )


async def test_the_openapi_page_documents_every_answer(ann: httpx.AsyncClient) -> None:
    paths = (await ann.get("/openapi.json")).json()["paths"]
    documented = {
        (method, path.removeprefix("/api/v1/")): set(operation["responses"])
        for path, operations in paths.items()
        for method, operation in operations.items()
    }
    assert documented == {
        ("get", "tasks/next"): {"200", "204", "401", "422", "429", "503"},
        ("post", "labels"): {"200", "401", "403", "409", "413", "422", "429", "503"},
        ("post", "assignments/{assignment_id}/heartbeat"): {
            "200",
            "401",
            "403",
            "404",
            "422",
            "429",
        },
        ("get", "run"): {"200", "401"},
    }


async def test_the_openapi_page_defines_every_schema_it_names(ann: httpx.AsyncClient) -> None:
    page = await ann.get("/openapi.json")
    named = set(re.findall(r'"#/components/schemas/(\w+)"', page.text))
    assert {"Task", "LabelSubmission", "LabelAnswer", "LineAnswer", "ErrorAnswer"} <= named
    assert named <= set(page.json()["components"]["schemas"])


# --- bad input ---------------------------------------------------------------------------------


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
    token = await queue.add_labeler("ann")
    [stored] = ledger.tokens()
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
    same = await ann.post(f"/api/v1/{path}", json={}, headers={"Origin": "http://andon"})
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
    make_queue: MakeQueue, change: dict[str, object], field: str
) -> None:
    queue = make_queue()
    await answer_orders(queue)
    limits = IntakeConfig()
    app = build_app(queue, limits)
    token = await queue.add_labeler("ann")
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app),
        base_url="http://andon",
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


async def test_a_content_type_that_is_not_taken(ann: httpx.AsyncClient) -> None:
    answer = await ann.post("/api/v1/labels", content=b"x", headers={"Content-Type": "text/csv"})
    assert (answer.status_code, answer.json()["field"]) == (422, "Content-Type")


@pytest.mark.parametrize("wait_s", ["nan", "-1", "soon"])
async def test_a_wait_that_is_none(ann: httpx.AsyncClient, wait_s: str) -> None:
    answer = await ann.get("/api/v1/tasks/next", params={"wait_s": wait_s})
    assert (answer.status_code, answer.json()["field"]) == (422, "wait_s")


async def test_bodies_over_the_limits(ann: httpx.AsyncClient) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b"x" * 1_000

    json_type, ndjson_type = {"Content-Type": "application/json"}, {"Content-Type": NDJSON}
    for content, headers in (
        (b"x" * 2_001, json_type),
        (chunks(), json_type),  # no Content-Length to go by
        (b"x" * 10_001, ndjson_type),
        (b"{}\n" * 6, ndjson_type),
    ):
        answer = await ann.post("/api/v1/labels", content=content, headers=headers)
        assert (answer.status_code, answer.json()["error"]) == (413, "BodyTooLarge")
    line = await ann.post("/api/v1/labels", content=b"x" * 2_001, headers=ndjson_type)
    assert LineAnswer.model_validate_json(line.text).status == 413


async def test_an_empty_batch(ann: httpx.AsyncClient) -> None:
    answer = await ann.post("/api/v1/labels", content=b"\n\n", headers={"Content-Type": NDJSON})
    assert answer.status_code == 422


async def test_too_many_requests_wait_as_long_as_they_are_told(
    ann: httpx.AsyncClient, clock: ManualClock
) -> None:
    path = "/api/v1/assignments/none/heartbeat"
    for _ in range(20):
        assert (await ann.post(path)).status_code == 404
    answer = await ann.post(path)
    assert (answer.status_code, answer.json()["error"]) == (429, "TooFast")
    clock.now += float(answer.headers["retry-after"])
    assert (await ann.post(path)).status_code == 404


async def test_bad_bodies_count_as_requests(ann: httpx.AsyncClient) -> None:
    statuses = [(await post(ann, {})).status_code for _ in range(21)]
    assert statuses == [422] * 20 + [429]


async def test_too_many_tasks_held_at_once(ann: httpx.AsyncClient) -> None:
    for _ in range(5):
        await take(ann)
    answer = await ann.get("/api/v1/tasks/next")
    assert answer.status_code == 429
    assert "answer some" in answer.json()["message"]


async def test_refused_bodies_are_kept_but_not_for_ever(
    ann: httpx.AsyncClient, queue: LabelQueue, ledger: MemoryLedger
) -> None:
    for _ in range(5):
        await post(ann, {"outcome": "choice", "comment": "x" * 500})
    letters = ledger.dead_letters()
    assert len(letters) == 3
    assert (letters[0].labeler_id, letters[0].field) == ("ann", "assignment_id")
    assert len(letters[0].payload) == 50
    assert (await queue.stats())["labels/rejected"] == 5


async def test_a_full_disk_acknowledges_nothing_and_later_takes_the_same_label(
    ann: httpx.AsyncClient, ledger: MemoryLedger
) -> None:
    task = await take(ann)
    ledger.is_full = True
    refused = await post(ann, choice(task))
    assert (refused.status_code, refused.json()["error"]) == (503, "ResourceError")
    assert (await ann.get("/api/v1/tasks/next")).status_code == 503
    ledger.is_full = False
    assert (await post(ann, choice(task))).status_code == 200
    assert (await take(ann)).query_id  # the slot whose lease failed is free
    assert len(ledger.events()) == 1
