"""How many labels a second are made durable, and how soon each is acknowledged.

    python -m benchmarks.label_intake --clients 20 --labels 2000

Two readings: the ledger alone (group commit, in process), and the whole way over loopback HTTP,
Ray Serve and the label queue's actor, where each label takes two requests: task, then label.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from collections.abc import Awaitable
from pathlib import Path
from time import perf_counter

import click
import httpx

from benchmarks.served_queue import served_queue
from label_queue.config import IntakeConfig, LabelsConfig
from label_queue.http_client import open_client
from label_queue.ledger.group_commit import GroupCommit
from label_queue.ledger.sql import SqlLedger
from label_queue.percentile import percentile
from label_queue.shell import LabelQueueShell, RemoteLabelQueue
from protocol.remote import Remote
from tests.support.labels import make_drafts, make_event, make_query


class Stopwatch:
    """Collects how long awaited things took."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def time(self, pending: Awaitable[httpx.Response]) -> httpx.Response:
        """Await a request and note its seconds."""
        started = perf_counter()
        answer = await pending
        self.seconds.append(perf_counter() - started)
        return answer

    def __str__(self) -> str:
        p50, p95 = (1e3 * percentile(self.seconds, share) for share in (0.50, 0.95))
        return f"p50 {p50:.1f} ms, p95 {p95:.1f} ms"


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


async def label_all(
    client: httpx.AsyncClient, tasks: Stopwatch, posts: Stopwatch, pause_s: float
) -> int:
    """Label until nothing is left; return how many."""
    done = 0
    while True:
        await asyncio.sleep(pause_s)
        answer = await tasks.time(client.get("/api/v1/tasks/next"))
        if answer.status_code == httpx.codes.NO_CONTENT:
            return done
        task = answer.raise_for_status().json()
        choice = task["candidates"][0]["candidate_id"]
        label = {"assignment_id": task["assignment_id"], "outcome": "choice", "choice": choice}
        (await posts.time(client.post("/api/v1/labels", json=label))).raise_for_status()
        done += 1


async def whole_way(queue: Remote[LabelQueueShell], url: str, clients: int, pause_s: float) -> None:
    """Have every query labelled over HTTP and print how it went."""
    sides = RemoteLabelQueue(queue)
    while orders := await sides.policy_loop.next_orders(0.0):
        for order in orders:
            await sides.policy_loop.offer(order.order_id, make_drafts(order))
    tokens = [await sides.owner.add_labeler(f"labeler-{i}") for i in range(clients)]
    connections = [
        open_client(
            httpx.AsyncClient, url, headers={"Authorization": f"Bearer {token}"}, timeout=60
        )
        for token in tokens
    ]
    tasks, posts = Stopwatch(), Stopwatch()
    started = perf_counter()
    done = sum(await asyncio.gather(*(label_all(c, tasks, posts, pause_s) for c in connections)))
    elapsed = perf_counter() - started
    for connection in connections:
        await connection.aclose()
    commit_p95_s = await sides.policy_loop.ledger_commit_p95_s()
    click.echo(f"over HTTP, {clients} clients: {done / elapsed:.0f} labels/s of {done}")
    click.echo(f"  POST labels: {posts}\n  GET tasks/next: {tasks}")
    click.echo(f"  ledger commit p95 {1e3 * commit_p95_s:.1f} ms")


def run_whole_way(folder: Path, clients: int, labels: int, pause_s: float) -> None:
    """Start Ray, the queue and its face; label; stop."""
    config = LabelsConfig(
        total=labels,
        initial=labels,
        validation_share=0.0,
        overlap_share=0.0,
        max_order=200,
        intake=IntakeConfig(requests_per_s=1e6, request_burst=1_000_000),
    )
    ledger = folder / "queue.sqlite"
    with served_queue(config, ledger, run_id="bench", mode="online") as (queue, url):
        asyncio.run(whole_way(queue, url, clients, pause_s))


def main() -> None:
    """Read the arguments and take both readings."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=20)
    parser.add_argument("--labels", type=int, default=2_000)
    parser.add_argument("--pause", type=float, default=0.0, help="seconds before each task")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        asyncio.run(ledger_alone(Path(name), arguments.clients, arguments.labels))
        run_whole_way(Path(name), arguments.clients, arguments.labels, arguments.pause)


if __name__ == "__main__":
    main()
