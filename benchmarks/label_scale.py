"""How the label side grows: memory, latencies and the owner's acts at 1k, 10k and 100k labels.

    python -m benchmarks.label_scale --labels 1000 10000 100000

Ledgers are made: 50 labelers, K = 4 responses of 75 tokens, a reward version every 16 labels, of
which 20 are refits, a policy version with each. Each size is measured in a process of its
own, on the label queue and SQLite themselves, without HTTP: what Serve adds is the same at any
size (`label_intake`). "Longest block" is the longest time that the queue's event loop ran nothing
else, while fifty labelers label and the owner's page asks; "of CPU" is the most that one step of
the event loop took of it, which other work on the machine does not lengthen. "Start" is the CPU
time of one that folds the whole ledger, and "with a snapshot" that of one that goes on from the
folds as a process of its own wrote them down before; the rest is of a queue that was started so.

    python -m benchmarks.label_scale --starts --labels 100000 1000000

measures the starts alone.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import click
import psutil

from label_queue.config import LabelsConfig
from label_queue.labeling.submissions import LabelSubmission
from label_queue.ledger.records import Record
from label_queue.ledger.sql import SqlLedger
from label_queue.percentile import percentile
from label_queue.queue import LabelQueue
from label_queue.schedule import LabelSchedule
from label_queue.snapshot.writer import Order
from protocol.errors import QueueClosed
from protocol.labels import ComparisonQuery, PolicyProvenance
from tests.support.labels import make_assignment, make_drafts, make_event, make_query, make_reward

RUN_ID = "scale"
LABELERS = tuple(f"labeler-{number:02d}" for number in range(50))
NUM_TOKENS = 75
LABELS_PER_VERSION = 16
REFITS = 20
SECONDS_PER_LABEL = 2.0
VALIDATION_EVERY = 10
BEGAN_AT = 1_000_000.0
WRITTEN_AT_ONCE = 4_000
LABELLED = 1_000
"""Labels given while latencies are measured."""
TICK_S = 0.002
EPISODES = 10**9

T = TypeVar("T")


def question(number: int) -> ComparisonQuery:
    """Return the n-th query: of ρ and π where it is for validation."""
    version = 1 + number // LABELS_PER_VERSION
    is_validation = number % VALIDATION_EVERY == 0
    versions = (0, 0, version, version) if is_validation else (version,) * 4
    made = make_query(
        number,
        versions=versions,
        run_id=RUN_ID,
        purpose="validation" if is_validation else "train",
        labels_before=number,
        ledger_seq=number,
        created_at=BEGAN_AT + number * SECONDS_PER_LABEL - 1.0,
        expires_at=BEGAN_AT + number * SECONDS_PER_LABEL + 3_600.0,
    )
    tokens = random.Random(number)
    text = "what was said of the place, at some length, as reviews go; " * 5
    candidates = tuple(
        replace(each, text=text, token_ids=tuple(tokens.choices(range(30_000), k=NUM_TOKENS)))
        for each in made.candidates
    )
    return replace(made, candidates=candidates)


def records(num_labels: int) -> Iterator[Record]:
    """Yield what the ledger of a run with so many labels holds, in order."""
    last = num_labels // LABELS_PER_VERSION
    refits = {1 + last * number // REFITS for number in range(REFITS)}
    for number in range(num_labels):
        query, at = question(number), BEGAN_AT + number * SECONDS_PER_LABEL
        labeler_id = LABELERS[number % len(LABELERS)]
        yield query
        yield replace(make_assignment(query, labeler_id, lease_until=at + 600.0), created_at=at)
        given = make_event(query, labeler_id, choice=random.Random(-number).randrange(4))
        yield replace(given, received_at=at, active_ms=2_000)
        version, rest = divmod(number + 1, LABELS_PER_VERSION)
        if rest == 0:
            is_refit = version in refits
            first = 1 if is_refit else number + 2 - LABELS_PER_VERSION
            made = make_reward(
                version,
                kind="refit" if is_refit else "warm",
                ledger_seq=number + 1,
                learned=range(first, number + 2),
            )
            weights = tuple((name, 0.9) for name in LABELERS)
            yield replace(made, labeler_weights=weights, announced_at=at)
            yield PolicyProvenance(
                version=version,
                episodes=number * 8,
                reward_version=version,
                learned_through=number + 1,
                restored_from=None,
                created_at=at,
            )


def make_ledger(path: Path, num_labels: int) -> None:
    """Write the ledger of a run with so many labels."""
    ledger, some = SqlLedger.open(path, RUN_ID), []
    for record in records(num_labels):
        some.append(record)
        if len(some) == WRITTEN_AT_ONCE:
            ledger.write(some)
            some.clear()
    ledger.write(some)
    ledger.close()


class LongestBlock:
    """The longest time for which an event loop ran nothing else."""

    def __init__(self) -> None:
        self.ms = 0.0

    async def watch(self) -> None:
        """Look, for ever."""
        before = time.perf_counter()
        while True:
            await asyncio.sleep(TICK_S)
            now = time.perf_counter()
            self.ms = max(self.ms, 1e3 * (now - before - TICK_S))
            before = now


class LongestStep:
    """The most CPU time that one step of an event loop took."""

    def __init__(self) -> None:
        self.ms = 0.0

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Look at every step meanwhile."""
        run = asyncio.Handle._run

        def timed_run(handle: asyncio.Handle) -> None:
            started = time.thread_time()
            run(handle)
            self.ms = max(self.ms, 1e3 * (time.thread_time() - started))

        asyncio.Handle._run = timed_run  # type: ignore[assignment, method-assign]
        try:
            yield
        finally:
            asyncio.Handle._run = run  # type: ignore[method-assign]


async def timed(pending: Awaitable[T], seconds: list[float]) -> T:
    """Await something and note how long it took."""
    started = time.perf_counter()
    answer = await pending
    seconds.append(time.perf_counter() - started)
    return answer


async def draw(queue: LabelQueue) -> None:
    """Be the policy loop: answer every order."""
    while True:
        try:
            for order in await queue.policy_loop.next_orders(60.0):
                await queue.policy_loop.offer(order.order_id, make_drafts(order, version=1))
        except QueueClosed:
            return


async def label(
    queue: LabelQueue, name: str, count: int, waits: list[float], acks: list[float]
) -> None:
    """Be a labeler: take tasks and answer them."""
    for _ in range(count):
        task = await timed(queue.people.next_task(name, 60.0), waits)
        assert task is not None, "the run wants no more labels"
        answer = LabelSubmission(
            assignment_id=task.assignment_id,
            outcome="choice",
            choice=task.candidates[0].candidate_id,
            active_ms=2_000,
        )
        await timed(queue.people.submit(name, [answer]), acks)


async def own(queue: LabelQueue, seconds: list[float]) -> None:
    """Be the owner's page, and the run that writes its metrics once a second."""
    seen = 0.0
    while True:
        overview = await timed(queue.owner.wait_for_overview(seen, 15.0), seconds)
        seen = overview.at
        await asyncio.sleep(0)  # it is another process that asks for
        await queue.policy_loop.online_stats()
        await asyncio.sleep(1.0)


def config_of(num_labels: int) -> LabelsConfig:
    """Return the settings of a run that goes on with so many labels."""
    return LabelsConfig(total=4 * num_labels, initial=2 * num_labels, refits=1, ahead=64)


def started(path: Path, num_labels: int, snapshot: Path | None) -> tuple[LabelQueue, float]:
    """Start the queue; return it, and the seconds of CPU that this took."""
    config = config_of(num_labels)
    schedule = LabelSchedule.of(config, num_episodes=EPISODES, mode="online")
    before = time.process_time()
    queue = LabelQueue(
        SqlLedger.open(path, RUN_ID),
        config,
        schedule,
        run_id=RUN_ID,
        seed=1,
        settle=gc.freeze,
        snapshot=snapshot,
    )
    policies = queue.state.policies.values()
    queue.take_in((), [(each.version, each.created_at + 1.0) for each in policies])
    return queue, time.process_time() - before


async def time_start(path: Path, num_labels: int, snapshot: Path | None) -> None:
    """Print what one start takes: seconds of CPU and MiB."""
    process = psutil.Process()
    empty = process.memory_info().rss
    queue, start_s = started(path, num_labels, snapshot)
    assert snapshot is None or queue.num_kept == num_labels, "the snapshot was of no use"
    mib = (process.memory_info().rss - empty) / 2**20
    click.echo(f"{start_s:.1f} {mib:.0f}")
    await queue.close()


def write_snapshot(path: Path, num_labels: int, snapshot: Path) -> None:
    """Have the folds written down, as the queue has it done."""
    order = Order.of(
        path, config_of(num_labels), episodes=EPISODES, mode="online", snapshot=snapshot
    )
    command = [sys.executable, "-m", "label_queue.snapshot.writer"]
    subprocess.run(command, input=order.model_dump_json().encode(), check=True)


async def measure(path: Path, num_labels: int, snapshot: Path) -> None:
    """Print one size's row."""
    process = psutil.Process()
    empty = process.memory_info().rss
    queue, start_s = started(path, num_labels, snapshot)
    for name in LABELERS:
        await queue.owner.add_labeler(name)
    first: list[float] = []
    await timed(queue.owner.overview(), first)
    await queue.policy_loop.online_stats()

    waits: list[float] = []
    acks: list[float] = []
    pages: list[float] = []
    block, step = LongestBlock(), LongestStep()
    beside = [asyncio.create_task(each) for each in (block.watch(), draw(queue), own(queue, pages))]
    with step.watched():
        await asyncio.gather(
            *(label(queue, name, LABELLED // len(LABELERS), waits, acks) for name in LABELERS)
        )
    labelling_ms = block.ms
    previews: list[float] = []
    await timed(queue.owner.preview_exclusion(LABELERS[0], 0), previews)
    await timed(queue.owner.exclude(LABELERS[0], 0, "a bad labeler"), previews)
    for task in beside:
        task.cancel()
    await asyncio.wait(beside)
    mib = (process.memory_info().rss - empty) / 2**20
    click.echo(
        f"{mib:,.0f} | {start_s:.1f} "
        f"| {1e3 * percentile(waits, 0.95):.0f} | {1e3 * percentile(acks, 0.95):.0f} "
        f"| {first[0]:.2f} | {previews[0]:.2f} | {previews[1]:.2f} "
        f"| {labelling_ms:.0f} | {step.ms:.0f} |"
    )
    await queue.close()


def main() -> None:
    """Measure each size in processes of its own, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--labels", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--starts", action="store_true", help="measure the starts alone")
    parser.add_argument("--ledger", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--snapshot", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.ledger is not None:
        if given.starts:
            asyncio.run(time_start(given.ledger, given.labels[0], given.snapshot))
        else:
            asyncio.run(measure(given.ledger, given.labels[0], given.snapshot))
        return
    click.echo(
        "| labels | start, s | memory, MiB | with a snapshot, s | memory, MiB | the snapshot, MiB |"
        if given.starts
        else "| labels | start, s | memory, MiB | with a snapshot: memory, MiB | start, s "
        "| next task p95, ms | answer p95, ms "
        "| first overview, s | preview, s | exclusion, s | longest block, ms | of CPU, ms |"
    )
    for num_labels in given.labels:
        with tempfile.TemporaryDirectory() as folder:
            path, snapshot = Path(folder) / "ledger.sqlite", Path(folder) / "ledger.folds"
            make_ledger(path, num_labels)
            anew = _run(num_labels, path, "--starts").split()
            write_snapshot(path, num_labels, snapshot)
            row = f"| {num_labels:,} | {anew[0]} | {anew[1]} | "
            if given.starts:
                again = _run(num_labels, path, "--starts", "--snapshot", str(snapshot)).split()
                size = snapshot.stat().st_size / 2**20
                click.echo(f"{row}{again[0]} | {again[1]} | {size:.0f} |")
            else:
                click.echo(row + _run(num_labels, path, "--snapshot", str(snapshot)))


def _run(num_labels: int, path: Path, *options: str) -> str:
    """Return the last line that a process of its own prints: a log may come before."""
    command = [sys.executable, "-m", "benchmarks.label_scale", "--labels", str(num_labels)]
    done = subprocess.run(
        [*command, "--ledger", str(path), *options], check=True, stdout=subprocess.PIPE, text=True
    )
    return done.stdout.strip().splitlines()[-1]


if __name__ == "__main__":
    main()
