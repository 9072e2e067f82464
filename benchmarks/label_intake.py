"""How many labels a second are made durable, and how soon each is acknowledged.

    python -m benchmarks.label_intake --clients 20 --labels 4000

Four readings: the ledger alone (group commit, in process); and over loopback HTTP, the whole way
to the label queue's actor and its disk, labels one a request whose tasks were handed out before,
task and label in turns, and labels in batches (NDJSON) of tasks handed out before. The clients are
one process beside the servers, on the same cores. Afterwards the ledger is read: each acknowledged
label must be there once.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

import aiohttp
import click
import ray

from benchmarks.cpu_times import CpuTimes
from benchmarks.served_queue import served_queue
from label_queue.config import IntakeConfig, LabelsConfig, LeaseConfig
from label_queue.labeling.tasks import Task
from label_queue.ledger.group_commit import GroupCommit
from label_queue.ledger.sql import SqlLedger
from label_queue.percentile import percentile
from label_queue.shell import LabelQueueShell, RemoteLabelQueue
from protocol.remote import Remote
from tests.support.labels import make_drafts, make_event, make_query

LABELS = "/api/v1/labels"
LEAST_SHOWN_MS = 0.05
"""CPU of a process for each label, above which it is named."""


@dataclass(slots=True)
class Tally:
    """What was answered, and after how long."""

    seconds: dict[str, list[float]] = field(default_factory=dict)
    """Seconds that each answer took, by method and path."""
    acknowledged: list[str] = field(default_factory=list)
    """Event ids, in the order of their answers."""

    def note(self, route: str, started: float) -> None:
        """Note an answer that is whole now, to a request that left at `started`."""
        self.seconds.setdefault(route, []).append(perf_counter() - started)


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """A labeler's connection, and tasks handed out to them."""

    http: aiohttp.ClientSession
    tally: Tally
    tasks: Sequence[Task] = ()

    async def ask(self, method: str, path: str, body: str | None, content_type: str) -> bytes:
        """Send a request and return the whole answer, which must be one of success."""
        started = perf_counter()
        headers = {"content-type": content_type} if body else {}
        async with self.http.request(method, path, data=body, headers=headers) as response:
            answer = await response.read()
            response.raise_for_status()
        self.tally.note(f"{method} {path}", started)
        return answer

    async def label_each(self) -> None:
        """Answer the tasks, one a request."""
        for task in self.tasks:
            answer = await self.ask("POST", LABELS, label_of(task), "application/json")
            self.tally.acknowledged.append(json.loads(answer)["event_id"])

    async def label_in_turns(self) -> None:
        """Get a task, answer it, until there is none."""
        while raw := await self.ask("GET", "/api/v1/tasks/next", None, ""):
            task: dict[str, Any] = json.loads(raw)
            body = label(task["assignment_id"], task["candidates"][0]["candidate_id"])
            answer = await self.ask("POST", LABELS, body, "application/json")
            self.tally.acknowledged.append(json.loads(answer)["event_id"])

    async def label_in_batches(self, size: int) -> None:
        """Answer the tasks, many a request."""
        for start in range(0, len(self.tasks), size):
            lines = [label_of(task) for task in self.tasks[start : start + size]]
            raw = await self.ask("POST", LABELS, "\n".join(lines), "application/x-ndjson")
            answers = [json.loads(line) for line in raw.splitlines()]
            assert all(each["status"] == 200 for each in answers), answers
            self.tally.acknowledged += [each["answer"]["event_id"] for each in answers]


def label(assignment_id: str, choice: str) -> str:
    """Return a label as it is sent."""
    return json.dumps({"assignment_id": assignment_id, "outcome": "choice", "choice": choice})


def label_of(task: Task) -> str:
    """Return an answer to a task."""
    return label(task.assignment_id, task.candidates[0].candidate_id)


async def ledger_alone(folder: Path, clients: int, labels: int) -> None:
    """Write labels from many tasks at once, straight into a group commit."""
    commits = GroupCommit(SqlLedger.open(folder / "alone.sqlite", "bench"), lambda record: None)

    async def write(client: int) -> None:
        for number in range(labels // clients):
            await commits.write([make_event(make_query(number), f"labeler-{client}")])

    started = perf_counter()
    await asyncio.gather(*(write(client) for client in range(clients)))
    elapsed = perf_counter() - started
    click.echo(
        f"ledger alone: {labels / elapsed:.0f} labels/s, "
        f"commit p95 {1e3 * commits.commit_p95_s:.1f} ms"
    )
    await commits.close()


async def hand_out(sides: RemoteLabelQueue, names: Sequence[str], each: int) -> list[list[Task]]:
    """Lease so many tasks to each labeler, past HTTP."""

    async def lease(name: str) -> list[Task]:
        tasks = [await sides.people.next_task(name, 0.0) for _ in range(each)]
        return [task for task in tasks if task is not None]

    return await asyncio.gather(*map(lease, names))


async def read_over_http(
    queue: Remote[LabelQueueShell], url: str, arguments: argparse.Namespace
) -> list[str]:
    """Take the readings over HTTP; return the event ids that were acknowledged."""
    sides = RemoteLabelQueue(queue)
    while orders := await sides.policy_loop.next_orders(0.0):
        for order in orders:
            await sides.policy_loop.offer(order.order_id, make_drafts(order))
    names = [f"labeler-{i}" for i in range(arguments.clients)]
    tokens = [await sides.owner.add_labeler(name) for name in names]
    each = arguments.labels // arguments.clients
    acknowledged: list[str] = []

    async def read(
        what: str, tasks: list[list[Task]], work: Callable[[Client], Awaitable[None]]
    ) -> None:
        tally = Tally()
        sessions = [
            aiohttp.ClientSession(url, headers={"Authorization": f"Bearer {token}"})
            for token in tokens
        ]
        clients = [
            Client(http=http, tally=tally, tasks=own)
            for http, own in zip(sessions, tasks, strict=True)
        ]
        cpu, started = CpuTimes(), perf_counter()
        await asyncio.gather(*map(work, clients))
        print_figures(what, tally, perf_counter() - started, cpu)
        acknowledged.extend(tally.acknowledged)
        for session in sessions:
            await session.close()

    await read("one a request", await hand_out(sides, names, each), Client.label_each)
    batches = await hand_out(sides, names, each)
    await read(
        f"batches of {arguments.batch}", batches, lambda c: c.label_in_batches(arguments.batch)
    )
    # What is left of the queries is about as many again.
    await read("task, then label", [[] for _ in names], Client.label_in_turns)
    click.echo(f"ledger commit p95 {1e3 * await sides.policy_loop.ledger_commit_p95_s():.1f} ms")
    return acknowledged


def print_figures(what: str, tally: Tally, elapsed_s: float, cpu: CpuTimes) -> None:
    """Print pace, latencies, and what a label costs each process."""
    count = len(tally.acknowledged)
    click.echo(f"over HTTP, {what}: {count / elapsed_s:.0f} labels/s of {count}")
    for route, seconds in sorted(tally.seconds.items()):
        p50, p95 = (1e3 * percentile(seconds, share) for share in (0.50, 0.95))
        click.echo(f"  {route}: p50 {p50:.1f} ms, p95 {p95:.1f} ms")
    costs = [(name, 1e3 * taken / count) for name, taken in cpu.seconds()]
    shown = ", ".join(f"{name} {cost:.2f}" for name, cost in costs if cost >= LEAST_SHOWN_MS)
    click.echo(f"  CPU, ms a label: {shown}")


def run_over_http(folder: Path, arguments: argparse.Namespace) -> None:
    """Start Ray, the queue and its face; label; read the ledger."""
    total = 3 * arguments.labels
    config = LabelsConfig(
        total=total,
        initial=total,
        validation_share=0.0,
        overlap_share=0.0,
        max_order=200,
        lease=LeaseConfig(max_open=arguments.labels),
        intake=IntakeConfig(requests_per_s=1e6, request_burst=1_000_000),
    )
    path = folder / "queue.sqlite"
    with served_queue(config, path, run_id="bench", mode="online") as (queue, url):
        acknowledged = asyncio.run(read_over_http(queue, url, arguments))
        ray.get(queue.send(LabelQueueShell.close))
    ledger = SqlLedger.open_to_read(path)
    stored = Counter(event.event_id for event in ledger.events())
    ledger.close()
    once = sum(stored[event_id] == 1 for event_id in acknowledged)
    click.echo(f"acknowledged: {len(acknowledged)}; of them in the ledger once: {once}")


def main() -> None:
    """Read the arguments and take the readings."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=20)
    parser.add_argument("--labels", type=int, default=4_000, help="of each reading")
    parser.add_argument("--batch", type=int, default=100, help="labels a batch")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        asyncio.run(ledger_alone(Path(name), arguments.clients, arguments.labels))
        run_over_http(Path(name), arguments)


if __name__ == "__main__":
    main()
