"""The label queue as it runs: a Ray actor that owns the ledger, the HTTP face in another."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from label_queue.config import LabelsConfig
from label_queue.http_client import open_client
from label_queue.ledger.sql import SqlLedger
from label_queue.shell import QUEUE_OPTIONS, LabelQueueShell, RemoteLabelQueue
from protocol.errors import ResourceError, Unauthenticated, UnknownTask
from protocol.remote import Remote, spawn
from tests.support.beside import events_written
from tests.support.label_queue_contract import LabelQueueContract, SidedQueue, fill
from tests.support.labels import make_config
from tests.support.patience import PATIENCE_S
from tests.support.present import present
from tests.support.processes import own_processes
from tests.support.served_intake import ServedIntake, served_intake

CONFIG = make_config(total=120, initial=100, ahead=10, refits=2, max_order=200)


def start_queue(
    path: Path, config: LabelsConfig = CONFIG, episodes: int = 1_000, name: str | None = None
) -> Remote[LabelQueueShell]:
    options = {**QUEUE_OPTIONS, "name": name or uuid4().hex}
    return spawn(LabelQueueShell, "the label queue", options)(
        config, run_id="run-1", ledger=path, episodes=episodes, mode="online", seed=1
    )


@pytest.fixture
def ledger_path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite"


@pytest.fixture
def queue_name() -> str:
    return uuid4().hex


@pytest.fixture
def queue(
    ray_session: None, ledger_path: Path, queue_name: str
) -> Iterator[Remote[LabelQueueShell]]:
    import ray

    queue = start_queue(ledger_path, name=queue_name)
    yield queue
    ray.get(queue.send(LabelQueueShell.close))
    ray.kill(queue.handle)


@pytest.fixture
def intake(queue: Remote[LabelQueueShell], queue_name: str) -> Iterator[ServedIntake]:
    with served_intake(queue_name, CONFIG.intake) as intake:
        yield intake


@pytest.fixture
def address(intake: ServedIntake) -> str:
    return intake.url


async def label_until_done(client: httpx.AsyncClient) -> list[str]:
    """Label as a curl user would; return the event ids acknowledged."""
    acknowledged: list[str] = []
    while True:
        answer = await client.get("/api/v1/tasks/next", params={"wait_s": 0.5})
        if answer.status_code == httpx.codes.NO_CONTENT:
            return acknowledged
        task = answer.raise_for_status().json()
        label = {
            "assignment_id": task["assignment_id"],
            "run_id": task["run_id"],
            "outcome": "choice",
            "choice": task["candidates"][0]["candidate_id"],
        }
        stored = (await client.post("/api/v1/labels", json=label)).raise_for_status().json()
        acknowledged.append(stored["event_id"])


async def labelers(sides: RemoteLabelQueue, count: int, address: str) -> list[httpx.AsyncClient]:
    """Let so many people in; return the client of each."""
    tokens = [await sides.owner.add_labeler(f"labeler-{i}") for i in range(count)]
    return [
        open_client(
            httpx.AsyncClient,
            address,
            headers={"Authorization": f"Bearer {token}"},
            timeout=PATIENCE_S,
        )
        for token in tokens
    ]


async def test_concurrent_labelers_lose_no_label(
    queue: Remote[LabelQueueShell], address: str, ledger_path: Path
) -> None:
    sides = RemoteLabelQueue(queue)
    await fill(sides)
    clients = await labelers(sides, 8, address)
    acknowledged = await asyncio.gather(*(label_until_done(client) for client in clients))
    received = (await sides.owner.overview()).progress.labels_received
    for client in clients:
        await client.aclose()

    event_ids = [event_id for ids in acknowledged for event_id in ids]
    assert len(event_ids) == len(set(event_ids)) == 110
    stored = [event.event_id for event in events_written(ledger_path)]
    assert sorted(stored) == sorted(event_ids)
    assert received == 110
    request = await sides.policy_loop.next_refit()
    assert (request.kind, request.labels_used) == ("refit", 110)


async def label_until_told(
    client: httpx.AsyncClient, acknowledged: list[str], is_over: asyncio.Event
) -> None:
    """Label, and send again what got no answer, until there is nothing left or it is over."""
    while not is_over.is_set():
        try:
            held = (await client.get("/api/v1/tasks/held")).raise_for_status().json()["tasks"]
            if not held:
                answer = await client.get("/api/v1/tasks/next")
                if answer.raise_for_status().status_code == httpx.codes.NO_CONTENT:
                    return
                continue
            label = {
                "assignment_id": held[0]["assignment_id"],
                "outcome": "choice",
                "choice": held[0]["candidates"][0]["candidate_id"],
            }
            stored = (await client.post("/api/v1/labels", json=label)).raise_for_status().json()
            acknowledged.append(stored["event_id"])
        except httpx.TransportError:
            await asyncio.sleep(0.05)


async def test_a_killed_intake_is_back_at_its_port_and_loses_no_label(
    queue: Remote[LabelQueueShell], intake: ServedIntake, ledger_path: Path
) -> None:
    sides = RemoteLabelQueue(queue)
    await fill(sides)
    clients = await labelers(sides, 4, intake.url)
    acknowledged: list[str] = []
    is_over = asyncio.Event()
    labeling = [
        asyncio.create_task(label_until_told(client, acknowledged, is_over)) for client in clients
    ]
    killed = set()
    try:
        for wanted in (10, 40):
            async with asyncio.timeout(PATIENCE_S):
                while len(acknowledged) < wanted:  # noqa: ASYNC110 -- a list tells no event
                    await asyncio.sleep(0.005)
            [victim] = await asyncio.to_thread(own_processes, "ray::IntakeShell")
            assert victim.pid not in killed
            victim.kill()
            killed.add(victim.pid)
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.gather(*labeling)
    finally:
        is_over.set()
        await asyncio.wait(labeling)
        for client in clients:
            await client.aclose()

    stored = [event.event_id for event in events_written(ledger_path)]
    assert len(stored) == len(set(stored)) == 110
    # An answer that was lost on its way back is on disk, and nobody holds its task any more.
    assert set(acknowledged) <= set(stored)
    assert len(acknowledged) == len(set(acknowledged))


async def test_refusals_keep_their_status_across_ray(
    queue: Remote[LabelQueueShell], address: str
) -> None:
    sides = RemoteLabelQueue(queue)
    await fill(sides)
    ann, bob = [await sides.owner.add_labeler(name) for name in ("ann", "bob")]
    headers = {"Authorization": f"Bearer {ann}"}
    async with open_client(httpx.AsyncClient, address, timeout=PATIENCE_S) as client:
        unknown = await client.get("/api/v1/run", headers={"Authorization": "Bearer none"})
        task = (await client.get("/api/v1/tasks/next", headers=headers)).json()
        url = f"/api/v1/assignments/{task['assignment_id']}/heartbeat"
        beat = await client.post(url, headers=headers)
        stolen = await client.post(url, headers={"Authorization": f"Bearer {bob}"})
        missing = await client.post("/api/v1/assignments/none/heartbeat", headers=headers)
        label = {"assignment_id": task["assignment_id"], "outcome": "choice", "choice": "none"}
        wrong = await client.post("/api/v1/labels", headers=headers, json=label)
    assert (unknown.status_code, unknown.json()["error"]) == (401, "Unauthenticated")
    assert beat.json()["lease_until"] >= task["lease_until"]
    assert (stolen.status_code, stolen.json()["error"]) == (403, "Forbidden")
    assert (missing.status_code, missing.json()["error"]) == (404, "UnknownTask")
    assert (wrong.status_code, wrong.json()["field"]) == (422, "choice")


async def test_an_actor_killed_and_started_again_knows_every_label(
    ray_session: None, ledger_path: Path
) -> None:
    import ray

    first = start_queue(ledger_path)
    before = RemoteLabelQueue(first)
    token = await before.owner.add_labeler("ann")
    await fill(before)
    task = present(await before.people.next_task("ann", 0.0))
    with pytest.raises(ResourceError, match="another process has this ledger open"):
        SqlLedger.open(ledger_path, "run-1")
    ray.kill(first.handle)
    second = start_queue(ledger_path)
    after = RemoteLabelQueue(second)
    assert (await after.people.authenticate(token)).labeler_id == "ann"
    assert (await after.people.heartbeat("ann", task.assignment_id)).is_held
    await second.ask(LabelQueueShell.close)
    ray.kill(second.handle)


async def test_the_owners_side_crosses_ray_too(
    queue: Remote[LabelQueueShell], ray_session: None
) -> None:
    sides = RemoteLabelQueue(queue)
    people, owner = sides.people, sides.owner
    admission = await owner.admit("ann", "labeler")
    session = await people.open_link(admission.link.removeprefix("/enter/"))
    with pytest.raises(Unauthenticated, match="used or revoked"):
        await people.open_link(admission.link.removeprefix("/enter/"))
    assert (await people.authenticate(session)).labeler_id == "ann"
    await fill(sides)
    task = await people.next_task("ann", 0.0)
    assert task is not None
    assert (await people.held_tasks("ann")).tasks == (task,)
    assert (await people.pull_cord("ann", "it swears")).is_pulled
    passing = asyncio.create_task(sides.policy_loop.pass_cord())
    overview = await owner.wait_for_overview(0.0, 5.0)
    assert overview.cord.pulled_by == "ann"
    assert [row.labeler_id for row in overview.labelers] == ["ann"]
    assert not (await owner.release_cord("fixed", overview.cord.reasons[0].pull_id)).is_pulled
    assert await passing is None
    with pytest.raises(UnknownTask, match="'eve'"):
        await owner.exclude("eve", 0, "who?")


class TestRemoteLabelQueue(LabelQueueContract, of="RemoteLabelQueue"):
    @pytest.fixture(autouse=True)
    def _given(self, ray_session: None, ledger_path: Path) -> Iterator[None]:
        import ray

        self._queue = start_queue(ledger_path, make_config(), episodes=100)
        yield
        ray.kill(self._queue.handle)

    async def open(self) -> RemoteLabelQueue:
        return RemoteLabelQueue(self._queue)

    async def close(self, queue: SidedQueue) -> None:
        await self._queue.ask(LabelQueueShell.close)
