"""A client of the labelling API, in process."""

from __future__ import annotations

import httpx
from pydantic import TypeAdapter

from label_queue.config import IntakeConfig
from label_queue.intake.app import FacedQueue, build_app
from label_queue.labeling.tasks import Task

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


def client_of(queue: FacedQueue, token: str = "") -> httpx.AsyncClient:
    """Return a client, with a token or with nothing."""
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(build_app(queue, LIMITS)),
        base_url="http://127.0.0.1",
        headers={"Authorization": f"Bearer {token}"} if token else {},
    )


async def take(client: httpx.AsyncClient) -> Task:
    answer = await client.get("/api/v1/tasks/next")
    assert answer.status_code == 200
    return TypeAdapter(Task).validate_json(answer.content)


def choice(task: Task, index: int = 0, **fields: object) -> dict[str, object]:
    return {
        "assignment_id": task.assignment_id,
        "outcome": "choice",
        "choice": task.candidates[index].candidate_id,
        **fields,
    }


async def post(client: httpx.AsyncClient, body: object) -> httpx.Response:
    return await client.post("/api/v1/labels", json=body)
