"""The bad-input table over the whole face: every route, under the limits that ship.

What one route says of one field is tested with that route; here each row of the table is sent
wherever it could be sent, and what was refused must have left no trace but a dead letter.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from cluster.cluster_config import ClusterConfig
from label_queue.config import IntakeConfig
from label_queue.folds.dataset import (
    build_dataset,
)
from label_queue.intake.app import build_app
from label_queue.intake.identity import CSRF_HEADER, csrf_token
from label_queue.intake.labels_api import NDJSON
from label_queue.intake.public_address import Site
from label_queue.intake.schemas import LineAnswer
from label_queue.ledger.records import (
    DeadLetter,
)
from label_queue.queue import LabelQueue
from protocol.fits import DatasetRules
from tests.support.fake_people_queue import FakePeopleQueue
from tests.support.labels import ManualClock, answers, make_config
from tests.support.memory_ledger import KEYS, MemoryLedger
from tests.unit.label_queue.conftest import MakeQueue
from tests.unit.label_queue.intake.client import choice, post, take
from tests.unit.label_queue.labeling import answer_orders

SESSION_COOKIE = Site().session_cookie
TOKEN_TTL_S = 1_000.0
LIMITS = IntakeConfig(token_ttl_s=TOKEN_TTL_S)
JSON_TYPE = {"Content-Type": "application/json"}
NDJSON_TYPE = {"Content-Type": NDJSON}
OWN_PROOF = "/hooks/{connector}"
"""Tools have neither token nor cookie; their table is in test_webhooks."""

ROUTES = sorted(
    (method.upper(), path)
    for path, operations in build_app(FakePeopleQueue(), LIMITS).openapi()["paths"].items()
    for method in operations
    if path != OWN_PROOF
)
UNSAFE = [path for method, path in ROUTES if method == "POST"]
BODIES: dict[str, dict[str, object]] = {
    "/api/v1/labels": {"assignment_id": "none", "outcome": "skip"},
    "/api/v1/owner/labelers": {"labeler_id": "eve"},
    "/api/v1/owner/rollback": {"to_version": 0, "reason": "forged"},
    "/api/v1/owner/gold": {"query_id": "none", "choice": "none"},
}
REASON: dict[str, object] = {"reason": "forged"}


@pytest.fixture
async def queue(make_queue: MakeQueue) -> LabelQueue:
    queue = make_queue(make_config(total=400, initial=400, refits=1, intake=LIMITS))
    await answer_orders(queue)
    return queue


@pytest.fixture
async def stranger(queue: LabelQueue) -> AsyncIterator[httpx.AsyncClient]:
    """A client with nothing to show."""
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(build_app(queue, LIMITS)), base_url="http://127.0.0.1"
    ) as client:
        yield client


@pytest.fixture
async def ann(queue: LabelQueue, stranger: httpx.AsyncClient) -> httpx.AsyncClient:
    stranger.headers["Authorization"] = f"Bearer {await queue.owner.add_labeler('ann')}"
    return stranger


@pytest.fixture
async def owner(queue: LabelQueue, stranger: httpx.AsyncClient) -> httpx.AsyncClient:
    stranger.headers["Authorization"] = f"Bearer {await queue.owner.add_labeler('olga', 'owner')}"
    return stranger


def filled(path: str) -> str:
    return path.replace("{assignment_id}", "none").replace("{labeler_id}", "ann")


def contents(ledger: MemoryLedger) -> dict[str, list[Any]]:
    """All that a refusal must not change."""
    return {str(kind): ledger.read(kind) for kind in KEYS if kind is not DeadLetter}


# --- no, wrong or expired token: 401 ------------------------------------------------------------


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_no_route_answers_without_a_good_token(
    method: str,
    path: str,
    queue: LabelQueue,
    stranger: httpx.AsyncClient,
    clock: ManualClock,
    ledger: MemoryLedger,
) -> None:
    expired = await queue.owner.add_labeler("ann", "owner")
    clock.now += TOKEN_TTL_S
    revoked = await queue.owner.add_labeler("bob", "owner")
    await queue.owner.add_labeler("olga", "owner")
    await queue.owner.revoke("bob", "left")
    link = (await queue.owner.admit("eve", "owner")).link.rsplit("/", 1)[-1]
    before = contents(ledger)
    headers = [{}, *({"Authorization": f"Bearer {t}"} for t in ("x", expired, revoked, link))]
    headers += [{"Cookie": f"{SESSION_COOKIE}={token}"} for token in ("x", link)]
    for each in headers:
        answer = await stranger.request(
            method, filled(path), json=BODIES.get(path, REASON), headers=each
        )
        assert (answer.status_code, answer.json()["error"]) == (401, "Unauthenticated"), each
    assert contents(ledger) == before


# --- a labeler_id in the body: identity comes from the session only -----------------------------


async def test_a_batch_cannot_speak_for_somebody_else(
    queue: LabelQueue, ann: httpx.AsyncClient, ledger: MemoryLedger
) -> None:
    mine, theirs = await take(ann), await queue.people.next_task("bob", 0.0)
    assert theirs is not None
    lines = [choice(mine, labeler_id="bob"), choice(theirs), choice(mine)]
    content = "\n".join(json.dumps(line) for line in lines)
    answer = await ann.post("/api/v1/labels", content=content, headers=NDJSON_TYPE)
    results = [LineAnswer.model_validate_json(line) for line in answer.text.splitlines()]
    assert [result.status for result in results] == [403, 403, 200]
    assert [event.labeler_id for event in answers(ledger.events())] == ["ann"]


async def test_nobody_pulls_the_cord_in_anothers_name(
    queue: LabelQueue, ann: httpx.AsyncClient
) -> None:
    body = {"reason": "it lies", "labeler_id": "bob"}
    answer = await ann.post("/api/v1/cord", json=body)
    assert (answer.status_code, answer.json()["field"]) == (422, "labeler_id")
    assert not (await queue.policy_loop.cord()).is_pulled


# --- cross-site POST: 403 -----------------------------------------------------------------------


@pytest.mark.parametrize("path", UNSAFE)
async def test_another_site_changes_nothing(
    path: str, queue: LabelQueue, stranger: httpx.AsyncClient, ledger: MemoryLedger
) -> None:
    token = await queue.owner.add_labeler("olga", "owner")
    link = (await queue.owner.admit("olga", "owner")).link
    await stranger.post(link, headers={"Origin": "http://127.0.0.1"})
    csrf = csrf_token(stranger.cookies[SESSION_COOKIE])
    before = contents(ledger)
    for headers in (
        {"Origin": "http://127.0.0.1"},
        {"Origin": "http://127.0.0.1", CSRF_HEADER: csrf_token("another")},
        {"Origin": "https://evil.example", CSRF_HEADER: csrf},
        {"Origin": "null", CSRF_HEADER: csrf},
        {"Origin": "https://evil.example", "Authorization": f"Bearer {token}"},
    ):
        answer = await stranger.post(filled(path), json=BODIES.get(path, REASON), headers=headers)
        assert (answer.status_code, answer.json()["error"]) == (403, "Forbidden"), headers
    assert contents(ledger) == before


# --- a wrong label: 422 naming the field, and a bounded dead-letter copy ------------------------


def without(name: str) -> Callable[[dict[str, object]], str]:
    return lambda body: json.dumps({k: v for k, v in body.items() if k != name})


def changed(**change: object) -> Callable[[dict[str, object]], str]:
    return lambda body: json.dumps(body | change)


WRONG_LABELS = {
    "unknown query": (changed(assignment_id="none"), "assignment_id"),
    "candidate not of the query": (changed(choice="another query's"), "choice"),
    "NaN": (lambda body: json.dumps(body)[:-1] + ', "submitted_at": NaN}', "submitted_at"),
    "unknown field": (changed(model="mine"), "model"),
    "missing field": (without("outcome"), "outcome"),
    "missing key": (without("assignment_id"), "assignment_id"),
    "wrong type": (changed(choice=["a", "b"]), "choice"),
    "no number": (changed(active_ms="fast"), "active_ms"),
    "long": (changed(comment="x" * 10_000), "comment"),
}


@pytest.mark.parametrize("name", WRONG_LABELS)
async def test_a_wrong_label_names_its_field_and_is_kept_as_a_dead_letter(
    name: str, ann: httpx.AsyncClient, ledger: MemoryLedger
) -> None:
    spoil, field = WRONG_LABELS[name]
    task, another = await take(ann), await take(ann)
    body = spoil(choice(task)).replace("another query's", another.candidates[0].candidate_id)
    before = contents(ledger)
    answer = await ann.post("/api/v1/labels", content=body, headers=JSON_TYPE)
    assert (answer.status_code, answer.json()["field"]) == (422, field)
    assert contents(ledger) == before
    [letter] = ledger.read(DeadLetter)
    assert (letter.labeler_id, letter.field) == ("ann", field)
    assert letter.message == answer.json()["message"]
    assert len(letter.payload) <= LIMITS.dead_letter_chars
    assert task.assignment_id in letter.payload or name in ("unknown query", "missing key")


# --- a body over the limit: 413 -----------------------------------------------------------------


@pytest.mark.parametrize("path", [path for path in UNSAFE if "heartbeat" not in path])
async def test_no_route_reads_more_than_64_kib(
    path: str, owner: httpx.AsyncClient, ledger: MemoryLedger
) -> None:
    before = contents(ledger)
    content = json.dumps(BODIES.get(path, REASON)).encode().ljust(64 * 1024 + 1)
    answer = await owner.post(filled(path), content=content, headers=JSON_TYPE)
    assert (answer.status_code, answer.json()["error"]) == (413, "BodyTooLarge")
    assert contents(ledger) == before


async def test_64_kib_are_read(ann: httpx.AsyncClient) -> None:
    content = json.dumps(choice(await take(ann))).encode().ljust(64 * 1024)
    assert (await ann.post("/api/v1/labels", content=content, headers=JSON_TYPE)).is_success


@pytest.mark.parametrize("content", [b"{}\n" * 501, b" " * (4 * 1024 * 1024 + 1)])
async def test_a_batch_over_the_limit(
    content: bytes, ann: httpx.AsyncClient, ledger: MemoryLedger
) -> None:
    answer = await ann.post("/api/v1/labels", content=content, headers=NDJSON_TYPE)
    assert (answer.status_code, answer.json()["error"]) == (413, "BodyTooLarge")
    assert ledger.read(DeadLetter) == []


# --- too fast: 429 with Retry-After -------------------------------------------------------------


async def test_who_is_too_fast_is_told_how_long_to_wait(
    ann: httpx.AsyncClient, clock: ManualClock, ledger: MemoryLedger
) -> None:
    task = await take(ann)
    refused = [await post(ann, {}) for _ in range(LIMITS.request_burst)][-1]
    assert (refused.status_code, refused.json()["error"]) == (429, "TooFast")
    label = await post(ann, choice(task))
    assert (label.status_code, label.headers["retry-after"]) == (429, "1")
    assert ledger.events() == []
    clock.now += float(label.headers["retry-after"])
    assert (await post(ann, choice(task))).status_code == 200


# --- client clocks: stored, never used for order ------------------------------------------------


async def test_client_clocks_are_stored_and_order_nothing(
    ann: httpx.AsyncClient, clock: ManualClock, ledger: MemoryLedger
) -> None:
    tasks = [await take(ann) for _ in range(3)]
    clocks = [9e11, 5.0, 0.0]
    for task, now in zip(tasks, clocks, strict=True):
        clock.now += 1.0
        times: dict[str, Any] = dict.fromkeys(("shown_at", "first_action_at", "submitted_at"), now)
        assert (await post(ann, choice(task, **times))).status_code == 200
    events = answers(ledger.events())
    assert [event.submitted_at for event in events] == clocks
    assert [event.received_at for event in events] == [1_001.0, 1_002.0, 1_003.0]
    queries = {query.query_id: query for query in ledger.queries()}
    dataset = build_dataset(queries, events, 3, DatasetRules())
    assert [each.seq for each in dataset] == [1, 2, 3]


# --- pickle anywhere: refused -------------------------------------------------------------------


class Bomb:
    """Makes a file where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize(
    "content_type",
    ["application/json", NDJSON, "application/octet-stream", "application/x-python-pickle"],
)
@pytest.mark.parametrize("path", ["/api/v1/labels", "/api/v1/cord", "/api/v1/owner/gold"])
async def test_a_pickle_is_refused_and_never_opened(
    path: str, content_type: str, owner: httpx.AsyncClient, tmp_path: Path, ledger: MemoryLedger
) -> None:
    before = contents(ledger)
    mark = tmp_path / "opened"
    bomb = pickle.dumps(Bomb(mark))
    assert pickle.loads(bomb) is None
    assert mark.exists()  # it would go off
    mark.unlink()
    answer = await owner.post(path, content=bomb, headers={"Content-Type": content_type})
    if (path, content_type) == ("/api/v1/labels", NDJSON):
        statuses = {json.loads(line)["status"] for line in answer.text.splitlines()}
        assert (answer.status_code, statuses) == (200, {422})
    else:
        assert answer.status_code == 422
    assert not mark.exists()
    assert contents(ledger) == before


# --- binding beyond loopback: refused at the start, saying what to set --------------------------


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "10.0.0.1", "2001:db8::1"])
def test_a_face_open_to_the_network_is_refused(host: str) -> None:
    with pytest.raises(
        ValueError, match=r"http_host .* is open to the network: set cluster\.public_url"
    ):
        ClusterConfig(http_host=host)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.0.0.2"])
def test_loopback_is_taken(host: str) -> None:
    assert ClusterConfig(http_host=host).http_host == host
