"""What the HTTP face fails at is answered as JSON, and the run hears of it."""

from __future__ import annotations

import pytest
from starlette.testclient import TestClient

from label_queue.config import IntakeConfig
from label_queue.intake.app import build_app
from label_queue.intake.public_address import Site
from label_queue.intake.schemas import ErrorAnswer
from label_queue.labeling.tasks import Renewal, Task
from label_queue.sides.intake_failures import MOST_KINDS, IntakeFailures
from protocol.errors import ResourceError
from tests.support.fake_people_queue import FakePeopleQueue

HERE = "http://127.0.0.1"


class Failing(FakePeopleQueue):
    async def next_task(self, labeler_id: str, wait_s: float) -> Task | None:
        raise RuntimeError("run_id: String should have\nat most 128 characters")


@pytest.mark.parametrize("accept", ["application/json", "text/html"])
async def test_a_failure_is_told_with_its_cause(accept: str) -> None:
    queue, told = Failing(), IntakeFailures()

    async def tell(failure: str) -> None:
        await told.add(failure)

    token = (await queue.owner.admit("ann", "labeler")).token
    client = TestClient(build_app(queue, IntakeConfig(), tell), HERE, raise_server_exceptions=False)
    headers = {"Authorization": f"Bearer {token}", "Accept": accept}
    for _ in range(2):
        answer = client.get("/api/v1/tasks/next", headers=headers)
        assert answer.status_code == 500
        body = ErrorAnswer.model_validate_json(answer.content)
        assert "128" not in body.message
    what = "GET /api/v1/tasks/next: RuntimeError: run_id: String should have at most 128 characters"
    assert await told.take(0) == (1, {what: 2})
    assert await told.take(1) == (2, {})


@pytest.mark.parametrize(("url", "prefix"), [(HERE, ""), ("https://label.example.org", "/run-a")])
async def test_a_failure_is_told_by_its_route_and_shown_where_the_browser_is(
    url: str, prefix: str
) -> None:
    class Broken(FakePeopleQueue):
        async def heartbeat(self, labeler_id: str, assignment_id: str) -> Renewal:
            raise RuntimeError("it broke")

        async def open_link(self, code: str) -> str:
            raise RuntimeError("it broke")

    queue, told = Broken(), IntakeFailures()

    async def tell(failure: str) -> None:
        await told.add(failure)

    token = (await queue.owner.admit("ann", "labeler")).token
    site = Site(public_url="https://label.example.org/run-a")
    app = build_app(queue, IntakeConfig(), tell, site=site)
    client = TestClient(app, url, raise_server_exceptions=False)
    headers = {"Authorization": f"Bearer {token}"}
    for number in range(2):
        beat = f"{prefix}/api/v1/assignments/a{number}/heartbeat"
        assert client.post(beat, headers=headers).status_code == 500
    page = client.post(f"{prefix}/enter/x", headers={"Accept": "text/html"})
    assert (page.status_code, f'"{prefix}/static/' in page.text) == (500, True)
    assert await told.take(0) == (
        1,
        {
            "POST /api/v1/assignments/{assignment_id}/heartbeat: RuntimeError: it broke": 2,
            "POST /enter/{code}: RuntimeError: it broke": 1,
        },
    )


async def test_labels_that_cannot_be_stored_are_told_too() -> None:
    class Full(FakePeopleQueue):
        async def next_task(self, labeler_id: str, wait_s: float) -> Task | None:
            raise ResourceError("labels cannot be stored (disk is full)")

    queue, told = Full(), IntakeFailures()

    async def tell(failure: str) -> None:
        await told.add(failure)

    token = (await queue.owner.admit("ann", "labeler")).token
    client = TestClient(build_app(queue, IntakeConfig(), tell), HERE)
    answer = client.get("/api/v1/tasks/next", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 503
    assert "may not have been stored: send it again" in answer.json()["message"]
    _, (failure,) = await told.take(0)
    assert failure.endswith("ResourceError: labels cannot be stored (disk is full)")


async def test_a_refusal_is_no_failure() -> None:
    told = IntakeFailures()

    async def tell(failure: str) -> None:
        await told.add(failure)

    client = TestClient(build_app(FakePeopleQueue(), IntakeConfig(), tell), HERE)
    assert client.get("/api/v1/tasks/next").status_code == 401
    assert client.get("/nowhere").status_code == 404
    assert await told.take(0) == (1, {})


async def test_of_very_many_kinds_the_oldest_is_forgotten() -> None:
    told = IntakeFailures()
    for number in range(MOST_KINDS + 1):
        await told.add(str(number))
    assert list((await told.take(0))[1]) == [str(number) for number in range(1, MOST_KINDS + 1)]


async def test_what_was_told_and_lost_is_told_again_and_what_came_meanwhile_next() -> None:
    failures = IntakeFailures()
    for failure in ("a", "a", "b"):
        await failures.add(failure)
    first = await failures.take(0)
    assert first == (1, {"a": 2, "b": 1})
    await failures.add("a")
    await failures.add("c")
    assert await failures.take(0) == first
    assert await failures.take(1) == (2, {"a": 1, "c": 1})
    assert await failures.take(2) == (3, {})
