"""How the label side grows: memory, latencies, blocks and the owner's acts from 1k labels on.

    python -m benchmarks.label_scale --labels 1000 10000 100000

Ledgers are made: 50 labelers, K = 4 responses of 75 tokens, a reward version every 16 labels, of
which 20 are refits, a policy version with each. Each size is measured in a process of its own, on
the label queue and the database themselves, without HTTP: what that adds is the same at any size
(`label_intake`). "Longest block" is the longest time that the queue's event loop ran nothing else,
while fifty labelers label, the owner's page asks, and the reward learns by one update after
another, of which "fits" tells how many there were; "of CPU" is the most CPU time that the loop's
thread took meanwhile, which other work on the machine does not lengthen. All that is watched from
the second update on: whoever weighs labelers has read by then what they are judged by. "Start" is
the CPU time of one that folds the whole ledger, and "with a snapshot" that of one that goes on from
the folds as a process of its own wrote them down before; the rest is of a queue that was started
so. As many labels are asked for as in a run: l(n) follows those that came.

    python -m benchmarks.label_scale --starts --labels 100000 1000000

measures the starts alone. `--keep FOLDER` makes each ledger once, there, and measures copies.
`--postgres` has the ledgers on a PostgreSQL server of the benchmark's own, reached by a socket,
with Debian's settings of what is on disk when a commit returns.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import shutil
import subprocess
import sys
import tempfile
import time
from bisect import bisect_left
from collections.abc import Awaitable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import click
import psutil

from benchmarks.label_scale.blocks import LongestBlock
from benchmarks.label_scale.made_ledger import (
    LABELERS,
    LABELS_PER_VERSION,
    RUN_ID,
    kept_ledger,
    make_ledger,
)
from benchmarks.programs import run_program
from label_queue.config import LabelsConfig, WarmConfig
from label_queue.fitting.weighing_process import WeighingProcess
from label_queue.labeling.submissions import LabelSubmission
from label_queue.ledger.sql import SqlLedger
from label_queue.ledger_place import LedgerPlace, place_of
from label_queue.percentile import percentile
from label_queue.queue import LabelQueue
from label_queue.schedule import LabelSchedule
from label_queue.snapshot.writer import Order
from protocol.errors import QueueClosed
from protocol.fits import RewardVersion
from tests.support.labels import make_drafts
from tests.support.messages import make_policy
from tests.support.postgres_server import MISSING, find_binaries, postgres_server

LABELLED = 4_000
"""Labels given while latencies are measured."""
EPISODES = 10**9
STEP_S = 0.02

T = TypeVar("T")


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


async def step(queue: LabelQueue, schedule: LabelSchedule) -> None:
    """Be a learner that never lets people wait: l(n) is as many labels as there are."""
    while True:
        labels = queue.state.history.num_preferences
        episodes = bisect_left(range(EPISODES), labels, key=schedule.wanted)
        await queue.policy_loop.set_progress(episodes, make_policy(queue.state.policy_version))
        await asyncio.sleep(STEP_S)


async def fit(queue: LabelQueue) -> None:
    """Be the reward trainer: a version with every warm update, and a policy trained on it."""
    state = queue.state
    while True:
        try:
            request = await queue.policy_loop.next_update()
        except QueueClosed:
            return
        made = RewardVersion.answering(request, version=state.reward_version + 1, fit_seconds=0.0)
        await queue.policy_loop.reward_served(made)
        policy = replace(
            make_policy(state.policy_version + 1, state.episodes),
            reward_version=made.version,
            learned_through=request.ledger_seq,
        )
        await queue.policy_loop.set_progress(policy.episodes, policy)
        await queue.policy_loop.first_sampled(policy.version, time.time())


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
    return LabelsConfig(
        total=4 * (num_labels + LABELLED),
        initial=9 * num_labels // 10,  # the last refit of the ledger has passed it
        refits=1,
        ahead=64,
        warm=WarmConfig(every_labels=LABELS_PER_VERSION),
    )


def started(place: LedgerPlace, num_labels: int, snapshot: Path | None) -> tuple[LabelQueue, float]:
    """Start the queue; return it, and the seconds of CPU that this took."""
    config = config_of(num_labels)
    schedule = LabelSchedule.of(config, num_episodes=EPISODES, mode="online")
    before = time.process_time()
    queue = LabelQueue(
        SqlLedger.open(place, RUN_ID),
        config,
        schedule,
        run_id=RUN_ID,
        seed=1,
        settle=gc.freeze,
        snapshot=snapshot,
        weigher=WeighingProcess(place),
    )
    policies = queue.state.policies.values()
    queue.take_in((), [(each.version, each.created_at + 1.0) for each in policies])
    return queue, time.process_time() - before


async def time_start(place: LedgerPlace, num_labels: int, snapshot: Path | None) -> None:
    """Print what one start takes: seconds of CPU and MiB."""
    process = psutil.Process()
    empty = process.memory_info().rss
    queue, start_s = started(place, num_labels, snapshot)
    assert snapshot is None or queue.num_kept == num_labels, "the snapshot was of no use"
    mib = (process.memory_info().rss - empty) / 2**20
    click.echo(f"{start_s:.1f} {mib:.0f}")
    await queue.close()


def write_snapshot(place: LedgerPlace, num_labels: int, snapshot: Path) -> None:
    """Have the folds written down, as the queue has it done."""
    order = Order.of(
        place, config_of(num_labels), episodes=EPISODES, mode="online", snapshot=snapshot
    )
    command = [sys.executable, "-m", "label_queue.snapshot.writer"]
    run_program(command, content=order.model_dump_json().encode())


async def measure(place: LedgerPlace, num_labels: int, snapshot: Path) -> None:
    """Print one size's row."""
    process = psutil.Process()
    empty = process.memory_info().rss
    queue, start_s = started(place, num_labels, snapshot)
    for name in LABELERS:
        await queue.owner.add_labeler(name)
    first: list[float] = []
    await timed(queue.owner.overview(), first)
    await queue.policy_loop.online_stats()

    waits: list[float] = []
    acks: list[float] = []
    pages: list[float] = []
    block, served = LongestBlock(), queue.state.reward_version
    schedule = LabelSchedule.of(config_of(num_labels), num_episodes=EPISODES, mode="online")
    parts = (draw(queue), own(queue, pages), step(queue, schedule), fit(queue))
    beside = [asyncio.create_task(each) for each in parts]
    # Who weighs labelers reads what they are judged by at the first update, and after it the news.
    await asyncio.gather(*(label(queue, name, 1, [], []) for name in LABELERS))
    while queue.state.reward_version == served:
        await queue.state.change.wait(None)
    served = queue.state.reward_version
    beside.append(asyncio.create_task(block.watch()))
    await asyncio.gather(
        *(label(queue, name, LABELLED // len(LABELERS), waits, acks) for name in LABELERS)
    )
    labelling_ms, labelling_cpu_ms = block.ms, block.cpu_ms
    previews: list[float] = []
    await timed(queue.owner.preview_exclusion(LABELERS[0], 0), previews)
    await timed(queue.owner.exclude(LABELERS[0], 0, "a bad labeler"), previews)
    for task in beside:
        task.cancel()
    await asyncio.wait(beside)
    mib = (process.memory_info().rss - empty) / 2**20
    fits = queue.state.reward_version - served
    click.echo(
        f"{mib:,.0f} | {start_s:.1f} "
        f"| {1e3 * percentile(waits, 0.95):.0f} | {1e3 * percentile(acks, 0.95):.0f} "
        f"| {first[0]:.2f} | {previews[0]:.2f} | {previews[1]:.2f} "
        f"| {labelling_ms:.0f} | {labelling_cpu_ms:.0f} | {fits} |"
    )
    await queue.close()


def main() -> None:
    """Measure each size in processes of its own, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--labels", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--starts", action="store_true", help="measure the starts alone")
    parser.add_argument("--keep", type=Path, help="folder of ledgers: made where they lack there")
    parser.add_argument("--postgres", action="store_true", help="measure PostgreSQL, not SQLite")
    parser.add_argument("--ledger", help=argparse.SUPPRESS)
    parser.add_argument("--snapshot", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.postgres and given.keep is not None:
        parser.error("--keep keeps files: leave it out with --postgres")
    if given.ledger is not None:
        part = time_start if given.starts else measure
        place = place_of(given.ledger, "--ledger")
        asyncio.run(part(place, given.labels[0], given.snapshot))
        return
    click.echo(
        "| labels | start, s | memory, MiB | with a snapshot, s | memory, MiB | the snapshot, MiB |"
        if given.starts
        else "| labels | start, s | memory, MiB | with a snapshot: memory, MiB | start, s "
        "| next task p95, ms | answer p95, ms "
        "| first overview, s | preview, s | exclusion, s | longest block, ms | of CPU, ms | fits |"
    )
    for num_labels in given.labels:
        with tempfile.TemporaryDirectory() as folder, ExitStack() as servers:
            snapshot = Path(folder) / "ledger.folds"
            place = (
                _on_postgres(servers, num_labels)
                if given.postgres
                else _in_a_file(Path(folder) / "ledger.sqlite", given.keep, num_labels)
            )
            anew = _run(num_labels, place, "--starts").split()
            write_snapshot(place, num_labels, snapshot)
            row = f"| {num_labels:,} | {anew[0]} | {anew[1]} | "
            if given.starts:
                again = _run(num_labels, place, "--starts", "--snapshot", str(snapshot)).split()
                size = snapshot.stat().st_size / 2**20
                click.echo(f"{row}{again[0]} | {again[1]} | {size:.0f} |")
            else:
                click.echo(row + _run(num_labels, place, "--snapshot", str(snapshot)))


def _in_a_file(path: Path, kept_in: Path | None, num_labels: int) -> LedgerPlace:
    """Make a ledger in a file, or copy one that is kept."""
    if kept_in is None:
        make_ledger(path, num_labels)
    else:
        shutil.copyfile(kept_ledger(kept_in, num_labels), path)
    return path


def _on_postgres(servers: ExitStack, num_labels: int) -> LedgerPlace:
    """Make a ledger on a server that ends with the stack."""
    binaries = find_binaries()
    if binaries is None:
        raise click.ClickException(MISSING)
    url = servers.enter_context(postgres_server(binaries)).url()
    make_ledger(url, num_labels)
    return url


def _run(num_labels: int, place: LedgerPlace, *options: str) -> str:
    """Return the last line that a process of its own prints: a log may come before."""
    command = [sys.executable, "-m", "benchmarks.label_scale", "--labels", str(num_labels)]
    done = run_program(
        [*command, "--ledger", str(place), *options], stdout=subprocess.PIPE, text=True
    )
    return str(done.stdout).strip().splitlines()[-1]


if __name__ == "__main__":
    main()
