"""The front as a process before two real label sides: one is lost, comes back, and has moved."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from cluster.run_folder import RunFolder
from label_queue.intake.identity import CSRF_HEADER, csrf_token
from label_queue.intake.public_address import Site
from label_queue.intake.shell import INTAKE_OPTIONS, IntakeShell
from label_queue.ledger.sql import SqlLedger
from label_queue.queue import LabelQueue
from label_queue.schedule import LabelSchedule
from label_queue.shell import QUEUE_OPTIONS, LabelQueueShell, RemoteLabelQueue
from protocol.remote import Remote, spawn
from tests.support.beside import events_written
from tests.support.fronted import front_process, make_run
from tests.support.label_queue_contract import fill
from tests.support.labels import make_config
from tests.support.page_server import serve_people
from tests.support.patience import PATIENCE_S
from tests.support.ports import HOST, free_port
from tests.support.proxies import COMMANDS, NAME, Place, found, proxy
from tests.unit.label_queue.labeling import answer_orders

CONFIG = make_config(total=120, initial=100, ahead=10, refits=2, max_order=200)
NUM_LABELS = 110
"""How many a run takes before it waits for a refit."""
POLL_S = 0.05


@dataclass(kw_only=True)
class Run:
    """The label side of a run in two processes, and the folder that says where it is."""

    root: Path
    site: Site
    queue_name: str = field(default_factory=lambda: uuid4().hex)

    @property
    def name(self) -> str:
        return self.site.run_id

    @property
    def ledger(self) -> Path:
        return self.root / f"{self.name}.sqlite"

    @property
    def stored(self) -> list[str]:
        """Ids of the events in its ledger."""
        return [event.event_id for event in events_written(self.ledger)]

    def start_queue(self) -> Remote[LabelQueueShell]:
        options = {**QUEUE_OPTIONS, "name": self.queue_name}
        return spawn(LabelQueueShell, "the label queue", options)(
            CONFIG, run_id=self.name, ledger=self.ledger, episodes=1_000, mode="online", seed=1
        )

    def start_face(self) -> tuple[str, Remote[IntakeShell]]:
        """Listen at a new port, of which the run's folder tells; return where, and the process."""
        import ray

        port = free_port()
        intake = spawn(IntakeShell, "the intake", INTAKE_OPTIONS)(
            self.queue_name, CONFIG.intake, self.site, host=HOST, port=port
        )
        ray.get(intake.send(IntakeShell.ready))
        path, url = self.root / "runs" / self.name, f"http://{HOST}:{port}"
        folder = RunFolder(path) if path.exists() else make_run(path.parent, self.name)
        folder.update_state(url=url, pages_url=self.site.public_url)
        return url, intake


@dataclass(kw_only=True)
class Person:
    """Somebody's browser at one run."""

    client: httpx.AsyncClient
    site: Site
    acknowledged: list[str] = field(default_factory=list)
    num_troubles: int = 0
    """Answers after which the same was sent again."""

    @classmethod
    async def come_in(
        cls, client: httpx.AsyncClient, site: Site, queue: Any, name: str, role: str = "labeler"
    ) -> Person:
        """Open a one-time link, as it is given to people."""
        person = cls(client=client, site=site)
        async with asyncio.timeout(PATIENCE_S):
            # The front has just begun to look, or the run to be there.
            while (await person.ask("/")).status_code != 401:  # noqa: ASYNC110
                await asyncio.sleep(POLL_S)
        link = (await queue.owner.admit(name, role)).link
        entered = await client.post(person.at(link), headers={"Origin": person.origin})
        assert entered.status_code == 303, entered.text
        return person

    @property
    def origin(self) -> str:
        return str(self.site.public_url).rpartition("/")[0]

    def at(self, path: str) -> str:
        return f"{self.site.public_url}{path}"

    async def ask(self, path: str) -> httpx.Response:
        return await self.client.get(self.at(path))

    async def label(self, task: dict[str, Any]) -> httpx.Response:
        return await self.client.post(
            self.at("/api/v1/labels"),
            json={
                "assignment_id": task["assignment_id"],
                "outcome": "choice",
                "choice": task["candidates"][0]["candidate_id"],
            },
            headers={
                "Origin": self.origin,
                CSRF_HEADER: csrf_token(self.client.cookies[self.site.session_cookie]),
            },
        )

    async def label_all(self) -> None:
        """Label until there is nothing left, and send again what a run did not answer."""
        while True:
            held = await self.ask("/api/v1/tasks/held")
            if await self._is_trouble(held):
                continue
            if tasks := held.json()["tasks"]:
                answer = await self.label(tasks[0])
                if not await self._is_trouble(answer):
                    self.acknowledged.append(answer.json()["event_id"])
                continue
            following = await self.ask("/api/v1/tasks/next?wait_s=0.5")
            if not await self._is_trouble(following) and following.status_code == 204:
                return

    async def _is_trouble(self, answer: httpx.Response) -> bool:
        if answer.status_code == 503:
            self.num_troubles += 1
            await asyncio.sleep(POLL_S)
            return True
        answer.raise_for_status()
        return False


def browser() -> httpx.AsyncClient:
    return httpx.AsyncClient(trust_env=False, timeout=PATIENCE_S)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 -- a list tells no event
            await asyncio.sleep(POLL_S)


def acknowledged(people: Sequence[Person]) -> list[str]:
    return [event_id for person in people for event_id in person.acknowledged]


async def received(lines: AsyncIterator[str], count: int) -> None:
    """Read an owner's stream until it shows so many labels."""
    async for line in lines:
        if f'"labels_received":{count},' in line:
            return
    raise AssertionError("the stream ended")


async def test_a_run_that_is_lost_takes_no_other_with_it_and_is_found_where_it_comes_back(
    ray_session: None, tmp_path: Path
) -> None:
    import ray

    port = free_port()
    sites = [
        Site(run_id=name, public_url=f"http://{HOST}:{port}/{name}") for name in ("run-a", "run-b")
    ]
    lost, other = (Run(root=tmp_path, site=site) for site in sites)
    async with AsyncExitStack() as stack:

        def ended_with_the_test(process: Remote[Any]) -> None:
            stack.callback(ray.kill, process.handle)

        async def person(run: Run, queue: Remote[LabelQueueShell], *who: str) -> Person:
            client = await stack.enter_async_context(browser())
            return await Person.come_in(client, run.site, RemoteLabelQueue(queue), *who)

        front = stack.enter_context(front_process(str(tmp_path / "runs"), "--port", str(port)))
        here = await stack.enter_async_context(browser())
        assert "There are none." in (await here.get(f"{front.url}/")).text
        queue, others_queue = lost.start_queue(), other.start_queue()
        (url, face), (_, others_face) = lost.start_face(), other.start_face()
        for process in (queue, others_queue, face, others_face):
            ended_with_the_test(process)
        for each in (queue, others_queue):
            await fill(RemoteLabelQueue(each))
        people = [await person(lost, queue, name) for name in ("ann", "bob")]
        others = [await person(other, others_queue, name) for name in ("ann", "bob")]
        olga = await person(other, others_queue, "olga", "owner")
        stream = await stack.enter_async_context(
            olga.client.stream("GET", olga.at("/api/v1/owner/stream"))
        )
        labeling, others_labeling = (
            asyncio.gather(*(each.label_all() for each in group)) for group in (people, others)
        )
        await until(lambda: min(map(len, (acknowledged(people), acknowledged(others)))) >= 10)
        ray.kill(queue.handle)
        ray.kill(face.handle)
        await until(lambda: any(each.num_troubles for each in people))
        async with asyncio.timeout(PATIENCE_S):
            await others_labeling
            await received(stream.aiter_lines(), NUM_LABELS)
        assert not any(each.num_troubles for each in others)
        assert sorted(acknowledged(others)) == sorted(other.stored)
        assert len(other.stored) == NUM_LABELS

        ended_with_the_test(lost.start_queue())
        moved_to, moved = lost.start_face()
        ended_with_the_test(moved)
        assert moved_to != url
        async with asyncio.timeout(PATIENCE_S):
            await labeling
        assert set(acknowledged(people)) <= set(lost.stored)
        assert len(lost.stored) == len(set(lost.stored)) == NUM_LABELS
        assert front.end() == -signal.SIGTERM
        assert (await here.get(f"{moved_to}/docs")).status_code == 200


@pytest.mark.parametrize("name", sorted(COMMANDS))
async def test_two_runs_are_found_behind_the_shipped_proxies_each_below_its_path(
    name: str, tmp_path: Path
) -> None:
    found(name)
    place, port = Place.free(tmp_path, ""), free_port()
    runs = tmp_path / "runs"
    async with AsyncExitStack() as stack:
        stack.enter_context(front_process(str(runs), "--port", str(port)))
        await stack.enter_async_context(proxy(name, place, port))
        people = []
        for run_id in ("run-a", "run-b"):
            site = Site(run_id=run_id, public_url=f"{place.origin}/{run_id}")
            queue = await in_process(stack, tmp_path, site)
            url = await stack.enter_async_context(serve_people(queue, CONFIG.intake, site))
            make_run(runs, run_id, url=url, pages_url=site.public_url)
            client = await stack.enter_async_context(place.client())
            people.append(await Person.come_in(client, site, queue, "olga", "owner"))
        for person in people:
            await labels_and_sees_it(person)
        one, other = people
        assert (await one.client.get(other.at("/owner"))).status_code == 401
        for path in ("/", "/docs", "/run-a/docs", "/run-a/openapi.json", "/-/routes"):
            assert (await one.client.get(path)).status_code == 404, path
        if name == "nginx":  # Caddy as Debian has it limits no rates
            for path in ("/run-a/enter/guessed", "/run-b/sign-in/nowhere"):
                answers = [(await one.client.get(path)).status_code for _ in range(40)]
                assert answers[:10].count(429) == 0, path
                assert 429 in answers, path
        forged = {"X-Forwarded-Host": f"{HOST}:{port}", "X-Forwarded-For": HOST}
        assert (await one.client.get("/", headers=forged)).status_code == 404


async def test_the_front_speaks_tls_itself_where_others_come(tmp_path: Path) -> None:
    outside = "127.0.0.2"
    place = Place.free(tmp_path, "")
    files = ("--tls-certificate", str(place.certificate), "--tls-key", str(place.key))
    async with AsyncExitStack() as stack:
        runs, site = tmp_path / "runs", Site(run_id="run-a", public_url=f"{place.origin}/run-a")
        queue = await in_process(stack, tmp_path, site)
        url = await stack.enter_async_context(serve_people(queue, CONFIG.intake, site))
        make_run(runs, "run-a", url=url, pages_url=site.public_url)
        at = ("--host", outside, "--port", str(place.tls_port))
        stack.enter_context(front_process(str(runs), *at, *files))
        client = await stack.enter_async_context(place.client(outside))
        olga = await Person.come_in(client, site, queue, "olga", "owner")
        await labels_and_sees_it(olga)
        token = {"Authorization": f"Bearer {await queue.owner.add_labeler('ann')}"}
        for host in (f"{HOST}:8000", "evil.example", outside):
            for way in ({}, {"X-Forwarded-Host": f"{NAME}:{place.tls_port}"}):
                headers = {**token, **way, "Host": host}
                answer = await client.get(olga.at("/api/v1/run"), headers=headers)
                assert answer.status_code == 421, (host, way)


async def in_process(stack: AsyncExitStack, root: Path, site: Site) -> LabelQueue:
    """Return a label queue in the test's own process, with drafts to choose from."""
    queue = LabelQueue(
        SqlLedger.open(root / f"{site.run_id}.sqlite", site.run_id),
        CONFIG,
        LabelSchedule.of(CONFIG, num_episodes=100, mode="online"),
        run_id=site.run_id,
        seed=1,
        clock=time.time,
    )
    stack.push_async_callback(queue.close)
    await answer_orders(queue)
    return queue


async def labels_and_sees_it(person: Person) -> None:
    """Have an owner give one label, and be shown it while the stream is open."""
    page = await person.ask("/")
    assert (page.status_code, 'id="task"' in page.text) == (200, True)
    script = await person.ask("/static/label/main.js")
    assert script.headers["content-type"].startswith("text/javascript")
    async with person.client.stream("GET", person.at("/api/v1/owner/stream")) as stream:
        task = (await person.ask("/api/v1/tasks/next?wait_s=5")).json()
        assert (await person.label(task)).status_code == 200
        async with asyncio.timeout(PATIENCE_S):
            await received(stream.aiter_lines(), 1)
