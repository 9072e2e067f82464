"""How much and how fast is too much, and what becomes of it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from label_queue.intake.labels_api import NDJSON
from label_queue.intake.schemas import LineAnswer
from label_queue.ledger.records import DeadLetter
from label_queue.queue import LabelQueue
from tests.support.labels import ManualClock
from tests.support.memory_ledger import MemoryLedger
from tests.unit.label_queue.intake.client import choice, client_of, post, take


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


async def test_bad_lines_of_a_batch_keep_no_good_one_out(
    ann: httpx.AsyncClient, ledger: MemoryLedger
) -> None:
    task = await take(ann)
    for _ in range(17):
        await ann.post("/api/v1/assignments/none/heartbeat")
    lines = [b"\xef\xbb\xbf{", b"[" * 1_500, b'{"outcome": NaN}', b'{"comment": "\\ud800"}']
    good = json.dumps(choice(task)).encode()
    answer = await ann.post(
        "/api/v1/labels", content=b"\n".join([*lines, good]), headers={"Content-Type": NDJSON}
    )
    # Of the twenty requests the batch is the nineteenth, however many of its lines are bad.
    statuses = [LineAnswer.model_validate_json(line).status for line in answer.text.splitlines()]
    assert (answer.status_code, statuses) == (200, [422] * 4 + [200])
    assert len(ledger.events()) == 1
    assert len(ledger.read(DeadLetter)) == 1  # the rate let one copy through


async def test_a_byte_order_mark_is_no_part_of_a_batch(ann: httpx.AsyncClient) -> None:
    body = b"\xef\xbb\xbf" + json.dumps(choice(await take(ann))).encode()
    answer = await ann.post("/api/v1/labels", content=body, headers={"Content-Type": NDJSON})
    assert LineAnswer.model_validate_json(answer.text).status == 200


async def test_good_lines_are_answered_though_no_copy_of_the_bad_ones_can_be_kept(
    queue: LabelQueue, ledger: MemoryLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    reject = queue.people.reject

    async def on_a_full_disk(*refused: Any) -> None:
        ledger.is_full = True
        await reject(*refused)

    monkeypatch.setattr(queue.people, "reject", on_a_full_disk)
    async with client_of(queue, await queue.owner.add_labeler("ann")) as ann:
        body = json.dumps(choice(await take(ann))).encode() + b"\n{}\n"
        answer = await ann.post("/api/v1/labels", content=body, headers={"Content-Type": NDJSON})
    statuses = [LineAnswer.model_validate_json(line).status for line in answer.text.splitlines()]
    assert (answer.status_code, statuses) == (200, [200, 422])
    assert len(ledger.events()) == 1


async def test_too_many_tasks_leased_at_once(ann: httpx.AsyncClient) -> None:
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
    letters = ledger.read(DeadLetter)
    assert len(letters) == 3
    assert (letters[0].labeler_id, letters[0].field) == ("ann", "assignment_id")
    assert len(letters[0].payload) == 50
    assert (await queue.policy_loop.stats())["labels/rejected"] == 5


async def test_a_full_disk_acknowledges_nothing_and_later_takes_the_same_label(
    ann: httpx.AsyncClient, ledger: MemoryLedger
) -> None:
    task = await take(ann)
    ledger.is_full = True
    refused = await post(ann, choice(task))
    assert (refused.status_code, refused.json()["error"]) == (507, "DiskFull")
    assert "must free space" in refused.json()["message"]
    assert refused.headers["Retry-After"]
    assert (await ann.get("/api/v1/tasks/next")).status_code == 507
    ledger.is_full = False
    assert (await post(ann, choice(task))).status_code == 200
    assert (await take(ann)).query_id  # the slot whose lease failed is free
    assert len(ledger.events()) == 1


@pytest.mark.parametrize("path", ["run", "me", "tasks/held"])
async def test_what_only_reads_is_under_the_rate_too(ann: httpx.AsyncClient, path: str) -> None:
    statuses = [(await ann.get(f"/api/v1/{path}")).status_code for _ in range(21)]
    assert statuses == [200] * 20 + [429]


async def test_who_oversees_is_under_the_rate_too(queue: LabelQueue) -> None:
    path = "/api/v1/owner/labelers"
    async with client_of(queue, await queue.owner.add_labeler("olga", "owner")) as olga:
        statuses = [(await olga.get(path)).status_code for _ in range(20)]
        too_fast = [await olga.get(path), await olga.post(path, json={"labeler_id": "cleo"})]
    assert statuses == [200] * 20
    assert [answer.status_code for answer in too_fast] == [429, 429]
    assert not queue.state.access.knows("cleo")
