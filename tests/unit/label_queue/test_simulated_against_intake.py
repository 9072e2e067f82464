"""The simulated labeler against the real intake: what it counts is what the ledger holds."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import httpx

from label_queue.config import IntakeConfig
from label_queue.intake.app import build_app
from label_queue.queue import LabelQueue
from label_queue.simulated.client import SimulatedLabeler
from label_queue.simulated.config import LabelerProfile
from label_queue.simulated.gold.reviews import ReviewsGold
from tests.unit.label_queue.labeling import answer_orders


async def test_acknowledged_is_what_the_ledger_holds(queue: LabelQueue, tmp_path: Path) -> None:
    await answer_orders(queue)
    stop = asyncio.Event()
    tasks_read = 0

    async def read_four(_: float) -> None:
        nonlocal tasks_read
        tasks_read += 1
        if tasks_read == 4:
            stop.set()

    token = await queue.owner.add_labeler("ann")
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(build_app(queue, IntakeConfig())),
        base_url="http://127.0.0.1",
        headers={"authorization": f"Bearer {token}"},
    ) as http:
        labeler = SimulatedLabeler(
            http=http,
            profile=LabelerProfile(eps_skip=0.3, seed=2),
            gold=ReviewsGold(),
            report_path=tmp_path / "report.json",
            sleep=read_four,
        )
        await labeler.work(stop)
    report = json.loads((tmp_path / "report.json").read_text())
    assert report == {
        "acknowledged": (await queue.owner.overview()).progress.labels_received + report["skipped"],
        "skipped": report["skipped"],
        "refused": 0,
        "retried": 0,
    }
    assert 3 <= report["acknowledged"] <= 4
