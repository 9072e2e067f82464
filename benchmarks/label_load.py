"""Two hundred labelers at once: is every acknowledged label kept, and how soon is it acknowledged?

    python -m benchmarks.label_load --labelers 200 --seconds 120 --thinking 5
    python -m benchmarks.label_load --labelers 200 --seconds 120 --thinking 0
    python -m benchmarks.label_load --labelers 50 --seconds 120 --thinking 0 --kill-every 20

The whole way: simulated labelers over loopback HTTP, the intake's process, the label queue's actor,
SQLite. The labelers share one process with one another, and the machine with the servers.
Afterwards the ledger is read: each acknowledged label must be there once, also where the intake is
ended by `kill -9` again and again meanwhile.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import tempfile
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from time import perf_counter
from typing import Any

import click
import httpx
import psutil
import ray

from benchmarks.cpu_times import CpuTimes
from benchmarks.served_queue import served_queue
from label_queue.config import LabelsConfig
from label_queue.http_client import open_client
from label_queue.ledger.sql import SqlLedger
from label_queue.percentile import percentile
from label_queue.shell import LabelQueueShell, RemoteLabelQueue
from label_queue.simulated.client import SimulatedLabeler
from label_queue.simulated.config import LabelerProfile
from label_queue.simulated.gold.reviews import ReviewsGold
from protocol.remote import Remote
from tests.support.labels import make_drafts
from tests.support.processes import own_processes

RUN_ID = "load"
FASTEST_LABELS_PER_S = 400
"""Queries asked a second, at most: more labels than two cores make durable."""
TIMEOUT_S = 60.0
POLL_S = 0.05
INTAKE = "ray::IntakeShell"
"""How the intake's process calls itself."""


class Tally:
    """What was answered, and after how long."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = defaultdict(list)
        """Seconds that each answer with status 200 took, by method and path."""
        self.statuses: Counter[tuple[str, int]] = Counter()
        self.acknowledged: Counter[str] = Counter()
        """How often each label was acknowledged, by event id."""

    async def asked(self, request: httpx.Request) -> None:
        """Note when a request leaves."""
        request.extensions["asked_at"] = perf_counter()

    async def answered(self, response: httpx.Response) -> None:
        """Note an answer once all of it is there."""
        await response.aread()
        route = f"{response.request.method} {response.request.url.path}"
        self.statuses[route, response.status_code] += 1
        if response.status_code != httpx.codes.OK:
            return
        self.seconds[route].append(perf_counter() - response.request.extensions["asked_at"])
        if route == "POST /api/v1/labels":
            self.acknowledged[response.json()["event_id"]] += 1

    def undocumented(self, document: dict[str, Any]) -> list[str]:
        """Return the answers that an OpenAPI document does not name."""
        named = {
            (f"{method.upper()} {path}", int(code))
            for path, operations in document["paths"].items()
            for method, operation in operations.items()
            for code in operation["responses"]
        }
        return [f"{route}: {code}" for route, code in self.statuses if (route, code) not in named]


async def label_for(
    tally: Tally, url: str, token: str, profile: LabelerProfile, seconds: float, report: Path
) -> None:
    """Be one labeler for some seconds, who comes in at a moment of their own."""
    stop = asyncio.Event()
    delay_s = random.Random(profile.seed).uniform(0.0, max(1.0, profile.seconds_per_label))
    asyncio.get_running_loop().call_later(seconds, stop.set)
    await asyncio.sleep(delay_s)
    async with open_client(
        httpx.AsyncClient,
        url,
        headers={"authorization": f"Bearer {token}"},
        timeout=TIMEOUT_S,
        event_hooks={"request": [tally.asked], "response": [tally.answered]},
    ) as http:
        labeler = SimulatedLabeler(
            http=http, profile=profile, gold=ReviewsGold(), report_path=report
        )
        await labeler.work(stop)


@asynccontextmanager
async def watching_owner(url: str, token: str) -> AsyncIterator[None]:
    """Have the owner's page open: its stream is read."""

    async def watch() -> None:
        headers = {"authorization": f"Bearer {token}"}
        async with (
            open_client(httpx.AsyncClient, url, headers=headers, timeout=None) as http,
            http.stream("GET", "/api/v1/owner/stream") as stream,
        ):
            async for _ in stream.aiter_lines():
                pass

    task = asyncio.create_task(watch())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


@asynccontextmanager
async def killed_again_and_again(url: str, every_s: float) -> AsyncIterator[list[float]]:
    """Have the intake's process ended every so often; yield after how many seconds it was back."""
    away_s: list[float] = []

    async def kill() -> None:
        while True:
            await asyncio.sleep(every_s)
            killed = own_processes(INTAKE)
            for process in killed:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            killed_at = perf_counter()
            await asyncio.to_thread(psutil.wait_procs, killed)
            while not await listens(url):  # noqa: ASYNC110 -- another process tells no event
                await asyncio.sleep(POLL_S)
            away_s.append(perf_counter() - killed_at)

    task = asyncio.create_task(kill())
    try:
        yield away_s
    finally:
        task.cancel()
        await asyncio.wait({task})


async def listens(url: str) -> bool:
    """Say whether somebody takes connections there."""
    at = httpx.URL(url)
    try:
        _, writer = await asyncio.open_connection(at.host, at.port)
    except OSError:
        return False
    writer.close()
    return True


async def measure(
    queue: Remote[LabelQueueShell], url: str, folder: Path, arguments: argparse.Namespace
) -> Tally:
    """Let everybody label, then print how it went."""
    sides = RemoteLabelQueue(queue)
    while orders := await sides.policy_loop.next_orders(0.0):
        for order in orders:
            await sides.policy_loop.offer(order.order_id, make_drafts(order))
    profiles = {
        f"labeler-{seed:03d}": LabelerProfile(seconds_per_label=arguments.thinking, seed=seed)
        for seed in range(arguments.labelers)
    }
    tokens = {name: await sides.owner.add_labeler(name) for name in profiles}
    async with open_client(httpx.AsyncClient, url) as http:
        document = (await http.get("/openapi.json")).json()
    tally = Tally()
    async with AsyncExitStack() as stack:
        if arguments.owner:
            owner = await sides.owner.add_labeler("owner", "owner")
            await stack.enter_async_context(watching_owner(url, owner))
        away_s: list[float] = []
        if arguments.kill_every:
            killing = killed_again_and_again(url, arguments.kill_every)
            away_s = await stack.enter_async_context(killing)
        cpu, started = CpuTimes(), perf_counter()
        await asyncio.gather(
            *(
                label_for(tally, url, tokens[name], profile, arguments.seconds, folder / name)
                for name, profile in profiles.items()
            )
        )
        elapsed = perf_counter() - started
    print_figures(tally, elapsed)
    if away_s:
        back = ", ".join(f"{each:.1f}" for each in away_s)
        click.echo(f"  the intake was killed, and was back after {back} s")
    commit_p95_s = await sides.policy_loop.ledger_commit_p95_s()
    click.echo(f"  ledger commit: p95 {1e3 * commit_p95_s:.1f} ms")
    click.echo(f"  not in the OpenAPI: {', '.join(tally.undocumented(document)) or 'none'}")
    for name, share in cpu.shares(elapsed)[:5]:
        click.echo(f"  CPU {name}: {share:.0%} of a core")
    return tally


def print_figures(tally: Tally, elapsed_s: float) -> None:
    """Print pace, latencies and answers by status."""
    num_labels = len(tally.acknowledged)
    click.echo(f"{num_labels} labels in {elapsed_s:.0f} s: {num_labels / elapsed_s:.1f} labels/s")
    for route, seconds in sorted(tally.seconds.items()):
        p50, p95 = (1e3 * percentile(seconds, share) for share in (0.50, 0.95))
        click.echo(f"  {route}: p50 {p50:.1f} ms, p95 {p95:.1f} ms")
    for (route, status), count in sorted(tally.statuses.items()):
        click.echo(f"  {route}: {status} × {count}")


def check_ledger(path: Path, tally: Tally) -> None:
    """Print whether every acknowledged label is in the ledger once."""
    ledger = SqlLedger.open_to_read(path)
    stored = Counter(event.event_id for event in ledger.events())
    ledger.close()
    lost = [name for name in tally.acknowledged if stored[name] == 0]
    doubled = [name for name, count in stored.items() if count > 1]
    twice = [name for name, count in tally.acknowledged.items() if count > 1]
    click.echo(
        f"  acknowledged and in the ledger: {len(tally.acknowledged) - len(lost)}; lost: "
        f"{len(lost)}; doubled: {len(doubled)}; acknowledged twice: {len(twice)}; in the ledger "
        f"and not acknowledged: {len(stored) - len(tally.acknowledged) + len(lost)}"
    )


def run(folder: Path, arguments: argparse.Namespace) -> None:
    """Start Ray, the queue and its face; label; stop."""
    pace = FASTEST_LABELS_PER_S
    if arguments.thinking > 0:
        pace = min(pace, 1 + int(1.5 * arguments.labelers / arguments.thinking))
    total = int(arguments.seconds * pace)
    config = LabelsConfig(total=total, initial=total, max_order=500)
    ledger = folder / "ledger.sqlite"
    with served_queue(config, ledger, run_id=RUN_ID, mode="offline") as (queue, url):
        tally = asyncio.run(measure(queue, url, folder, arguments))
        ray.get(queue.send(LabelQueueShell.close))
        check_ledger(ledger, tally)


def main() -> None:
    """Read the arguments and measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--labelers", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--thinking", type=float, default=5.0, help="mean seconds a task; 0: none")
    parser.add_argument(
        "--kill-every", type=float, default=0.0, help="seconds between kills of the intake; 0: none"
    )
    parser.add_argument("--owner", action="store_true", help="with the owner's page open")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        run(Path(name), arguments)


if __name__ == "__main__":
    main()
