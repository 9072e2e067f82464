"""One labelling session over HTTP: the real application on loopback, its clients, an owner.

Everything runs in one process and one event loop; what the labelers and the owner do goes through
sockets. Nobody waits while somebody thinks: the server's clock is moved on by what a label takes.
The reward trainer is played: it learns nothing, and announces the labelers' reliabilities that came
with its orders, by which the desk decides who gets more gold.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Literal

import httpx
from pydantic import TypeAdapter

from benchmarks.bad_labelers.labelers import FRIENDS, profiles
from benchmarks.bad_labelers.questions import (
    agreed_questions,
    clear_questions,
    drafts,
    write_gold,
)
from label_queue.config import IntakeConfig, LabelsConfig, LeaseConfig, WarmConfig
from label_queue.http_client import open_client
from label_queue.intake.app import build_app
from label_queue.intake.server import PAGES_PORT, FaceServer
from label_queue.ledger.sql import SqlLedger
from label_queue.oversight.overview import Overview
from label_queue.quality_config import GoldConfig, QualityConfig
from label_queue.queue import LabelQueue
from label_queue.schedule import LabelSchedule
from label_queue.simulated.client import SimulatedLabeler
from label_queue.simulated.config import LabelerProfile
from label_queue.simulated.gold.reviews import ReviewsGold
from protocol.fits import FitRequest, RewardVersion
from protocol.http_server import end_process, listen
from tests.support.labels import ManualClock
from tests.support.messages import make_policy

RUN_ID = "bad-labelers"
OWNER = "olga"
NUM_GOLD = 80
QUERIES_PER_LABEL = 1.2
"""Queries asked for each label: more than enough, so that some are left when the labelers end."""
FIRST_FIT_AFTER_LABELS = 200
LOOK_EVERY_S = 0.5
"""Time between two looks of the owner."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a session is."""

    seed: int
    num_labelers: int
    labels: int
    """Labels that each labeler gives, unless they are suspended before."""
    num_candidates: int
    gold: Literal["clear", "agreed"]
    """What gold is made of: questions that are plainer than others, or such as all others, of
    which three good labelers chose the same."""
    honest_from: float | None
    """Lead of the best candidate from which on adversaries answer honestly, as gold may be as
    plain; None: they are honest with nothing."""
    stops_the_bad: bool
    """Whether bad labelers are suspended; False: the session is the same, but nobody ever is."""


def quality(gold: Path, *, stops_the_bad: bool) -> QualityConfig:
    """Return the product's defaults with a gold file, or the same with alarms out of reach."""
    config = GoldConfig(path=gold)
    if stops_the_bad:
        return QualityConfig(gold=config)
    return QualityConfig(gold=config, false_alarm=1e-300, drift_threshold=1_000.0)


def labels_config(plan: Plan, gold: Path) -> LabelsConfig:
    """Return the label side: all queries at once, no limit on the pace."""
    return LabelsConfig(
        total=int(QUERIES_PER_LABEL * plan.num_labelers * plan.labels),
        initial=FIRST_FIT_AFTER_LABELS,
        refits=1,  # queries live until the next refit
        warm=WarmConfig(every_s=1e9, replay=0.0),
        kind="pair" if plan.num_candidates == 2 else "best_of_k",
        num_candidates=plan.num_candidates,
        quality=quality(gold, stops_the_bad=plan.stops_the_bad),
        # By the clock they work one after the other.
        lease=LeaseConfig(min_s=600.0),
        query_expiry_s=1e9,
        intake=IntakeConfig(requests_per_s=1e6, request_burst=1_000_000, max_wait_s=1.0),
    )


async def hold_session(folder: Path, plan: Plan, tokenizer: Any) -> None:
    """Let them label; what they said is in `folder`/ledger.sqlite when this returns.

    The folder must be there and empty; the gold file is put beside the ledger.
    """
    rng = random.Random(plan.seed)
    gold = folder / "gold.jsonl"
    if plan.gold == "clear":
        asked = clear_questions(rng, NUM_GOLD, plan.num_candidates)
        write_gold(gold, [(each, each.best) for each in asked])
    else:
        write_gold(gold, agreed_questions(rng, NUM_GOLD, plan.num_candidates, FRIENDS))
    config = labels_config(plan, gold)
    clock = ManualClock()
    queue = LabelQueue(
        SqlLedger.open(folder / "ledger.sqlite", RUN_ID),
        config,
        LabelSchedule.of(config, num_episodes=1, mode="online"),
        run_id=RUN_ID,
        seed=plan.seed,
        clock=clock,
    )
    await queue.policy_loop.set_progress(1, make_policy(version=1, episodes=1))
    await _ask(queue, rng, tokenizer)
    training = asyncio.create_task(_play_trainer(queue))
    async with _serving(queue, config.intake) as url:
        await _label(queue, url, folder, plan, clock)
    await _end(training)
    await queue.close()


async def _ask(queue: LabelQueue, rng: random.Random, tokenizer: Any) -> None:
    """Be the policy loop until nothing is lacking."""
    number = 0
    while orders := await queue.policy_loop.next_orders(0.0):
        for order in orders:
            offered = drafts(order, rng, number, tokenizer)
            number += len(offered)
            await queue.policy_loop.offer(order.order_id, offered)


async def _play_trainer(queue: LabelQueue) -> None:
    """Announce every fit that is ordered, though none is trained."""
    versions = count(1)
    loop = queue.policy_loop
    async with asyncio.TaskGroup() as both:
        both.create_task(_announce(queue, loop.next_refit, versions))
        both.create_task(_announce(queue, loop.next_update, versions))


async def _announce(
    queue: LabelQueue, next_fit: Callable[[], Awaitable[FitRequest]], versions: Iterator[int]
) -> None:
    while True:
        order = await next_fit()
        await queue.policy_loop.reward_served(
            RewardVersion.answering(order, version=next(versions), fit_seconds=0.0)
        )


@asynccontextmanager
async def _serving(queue: LabelQueue, limits: IntakeConfig) -> AsyncIterator[str]:
    """Serve the labelling API on a free port of loopback; yield its address."""
    listener = listen("127.0.0.1", 0, PAGES_PORT)
    server = FaceServer(build_app(queue, limits), listener, limits)
    server.start(end_process)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        await server.stop()


async def _label(queue: LabelQueue, url: str, folder: Path, plan: Plan, clock: ManualClock) -> None:
    """Let everybody label until they have given their number or are suspended.

    Whatever ends the owner's watch ends the session: without it nobody is sent home.
    """
    everybody = profiles(plan.seed, plan.num_labelers, plan.honest_from)
    stops: dict[str, asyncio.Event] = {name: asyncio.Event() for name in everybody}
    labelers = [
        _one_labeler(
            url,
            await queue.owner.add_labeler(name),
            profile,
            plan.labels,
            stops[name],
            folder / name,
            clock,
        )
        for name, profile in everybody.items()
    ]
    token = await queue.owner.add_labeler(OWNER, "owner")
    async with asyncio.TaskGroup() as group:
        watching = group.create_task(_watch(url, token, stops))
        await asyncio.gather(*labelers)
        watching.cancel()


async def _one_labeler(
    url: str,
    token: str,
    profile: LabelerProfile,
    num_labels: int,
    stop: asyncio.Event,
    report: Path,
    clock: ManualClock,
) -> None:
    async def go_on(seconds: float) -> None:
        """Let the time pass at once; end with the label in hand once it is the last."""
        clock.now += seconds
        if labeler.report.acknowledged + 1 >= num_labels:
            stop.set()

    headers = {"authorization": f"Bearer {token}"}
    async with open_client(httpx.AsyncClient, url, headers=headers, timeout=60) as http:
        labeler = SimulatedLabeler(
            http=http, profile=profile, gold=ReviewsGold(), report_path=report, sleep=go_on
        )
        await labeler.work(stop)


async def _watch(url: str, token: str, stops: dict[str, asyncio.Event]) -> None:
    """Send home whoever the owner's overview says is suspended: they get no more tasks."""
    headers = {"authorization": f"Bearer {token}"}
    async with open_client(httpx.AsyncClient, url, headers=headers, timeout=60) as http:
        while True:
            answer = await http.get("/api/v1/owner/overview")
            overview = TypeAdapter(Overview).validate_json(answer.raise_for_status().content)
            for row in overview.labelers:
                if row.state == "suspended":
                    stops[row.labeler_id].set()
            await asyncio.sleep(LOOK_EVERY_S)


async def _end(task: asyncio.Task[None]) -> None:
    """End a task that runs for as long as the session; raise what ended it before, if it did."""
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
