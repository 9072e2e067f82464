"""The labelling API as a client sees it."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import httpx
from pydantic import TypeAdapter

from label_queue.intake.labels_api import NDJSON
from label_queue.intake.schemas import LineAnswer
from label_queue.labeling.run_info import RunInfo
from label_queue.queue import LabelQueue
from protocol.labels import ComparisonQuery, Revised, Submitted
from tests.support.labels import NODE, ManualClock, answers, make_config, make_draft
from tests.support.memory_ledger import MemoryLedger
from tests.support.messages import make_prompt
from tests.unit.label_queue.conftest import MakeQueue
from tests.unit.label_queue.intake.client import LIMITS, choice, client_of, post, take
from tests.unit.label_queue.labeling import answer_orders


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
    assert task["prompt"] == {
        "text": "the soup was",
        "messages": [],
        "language": "",
        "node": None,
    }
    assert [set(candidate) for candidate in task["candidates"]] == [{"candidate_id", "text"}] * 4


async def test_a_task_says_the_language_that_its_prompt_was_given_in(
    make_queue: MakeQueue, ledger: MemoryLedger
) -> None:
    queue = make_queue(make_config(intake=LIMITS))
    for order in await queue.policy_loop.next_orders(0.0):
        drafts = [
            make_draft(number, prompt=replace(make_prompt(number), language="pt-BR"))
            for number in range(order.num_drafts)
        ]
        await queue.policy_loop.offer(order.order_id, drafts)
    async with client_of(queue, await queue.owner.add_labeler("ann")) as client:
        assert (await take(client)).prompt.language == "pt-BR"
    assert {query.prompt_language for query in ledger.read(ComparisonQuery)} == {"pt-BR"}


async def test_a_task_says_where_its_prompt_stands_in_a_long_text(
    make_queue: MakeQueue, ledger: MemoryLedger
) -> None:
    queue = make_queue(make_config(intake=LIMITS))
    for order in await queue.policy_loop.next_orders(0.0):
        drafts = [
            make_draft(number, prompt=replace(make_prompt(number), node=NODE))
            for number in range(order.num_drafts)
        ]
        await queue.policy_loop.offer(order.order_id, drafts)
    async with client_of(queue, await queue.owner.add_labeler("ann")) as client:
        task = (await client.get("/api/v1/tasks/next")).json()
    assert task["prompt"]["node"] == {
        "document_id": "books-000017",
        "path": [2, 1],
        "siblings": [2, 3],
        "height": 0,
        "num_children": 0,
    }
    assert {query.prompt_node for query in ledger.read(ComparisonQuery)} == {NODE}


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
    [event] = answers(ledger.events())
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
    assert (await queue.policy_loop.stats())["labels/duplicate"] == 1


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
    assert [type(event) for event in ledger.events()] == [Submitted, Revised]
    assert (await queue.owner.overview()).progress.labels_received == 1


async def test_an_empty_queue_answers_no_content(make_queue: MakeQueue) -> None:
    queue = make_queue()
    async with client_of(queue, await queue.owner.add_labeler("ann")) as client:
        answer = await client.get("/api/v1/tasks/next")
    assert (answer.status_code, answer.content) == (204, b"")


async def test_a_run_that_has_all_its_labels_gives_no_more_tasks(make_queue: MakeQueue) -> None:
    queue = make_queue(make_config(total=2, initial=2))
    await answer_orders(queue)
    async with client_of(queue, await queue.owner.add_labeler("ann")) as client:
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
    assert [event.revision for event in answers(ledger.events())] == [0, 0, 1]


async def test_a_heartbeat_renews_the_lease(ann: httpx.AsyncClient, clock: ManualClock) -> None:
    task = await take(ann)
    clock.now += 100.0
    answer = await ann.post(f"/api/v1/assignments/{task.assignment_id}/heartbeat")
    assert answer.json() == {"lease_until": task.lease_until + 100.0, "is_held": True}


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


async def test_an_answer_after_the_runs_end_is_told_that_it_is_over(
    ann: httpx.AsyncClient, queue: LabelQueue
) -> None:
    body = choice(await take(ann))
    await queue.close()
    answer = await post(ann, body)
    assert (answer.status_code, answer.json()["error"]) == (503, "QueueClosed")


async def test_a_waiting_labeler_gets_the_next_task_as_it_comes(make_queue: MakeQueue) -> None:
    queue = make_queue()
    token = await queue.owner.add_labeler("ann")
    async with client_of(queue, token) as client:
        waiting = asyncio.create_task(client.get("/api/v1/tasks/next", params={"wait_s": 20}))
        await asyncio.sleep(0)
        await answer_orders(queue)
        assert (await waiting).status_code == 200


async def test_the_run_says_what_it_wants(ann: httpx.AsyncClient) -> None:
    await post(ann, choice(await take(ann)))
    info = TypeAdapter(RunInfo).validate_json((await ann.get("/api/v1/run")).content)
    assert info == RunInfo(
        run_id="run-1",
        kind="best_of_k",
        guideline_version="1",
        labels_total=40,
        labels_scheduled=10,
        is_closed=False,
    )
