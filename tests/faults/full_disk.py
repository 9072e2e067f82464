"""A disk that fills up under labels, recordings, metrics and checkpoints, and is freed again.

Run as `python -m tests.faults.full_disk FOLDER WAY`. By "tmpfs" the folder is one that this process
mounts itself, in a mount namespace of its own, and fills to the last byte. By "limit" no file may
grow beyond a few kilobytes: what a quota does, and any user can have.
"""

from __future__ import annotations

import asyncio
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
import torch

from cluster.metrics.jsonl_sink import JsonlSink, read_metrics
from cluster.recordings.records import FirstSampleRecord
from cluster.recordings.streams import FIRST_SAMPLES, Recordings, read
from label_queue.ledger.sql import SqlLedger
from label_queue.queue import LabelQueue
from label_queue.schedule import LabelSchedule
from learners.checkpoint import CheckpointFolder, Layout
from learners.config import CheckpointConfig
from protocol.errors import DiskFull
from protocol.labels import Submitted
from tests.support.labels import make_config
from tests.support.ledger_stores import over_its_connection
from tests.support.messages import make_policy
from tests.support.positions import make_position
from tests.unit.label_queue.intake.client import choice, client_of, post, take
from tests.unit.label_queue.labeling import answer_orders

TMPFS_BYTES = 8 * 2**20
LIMIT_BYTES = 8 * 1024
NUM_ROWS = 200
"""Of metrics before the disk is full: more than a limit lets through."""
WAIT_S = 60.0


class SmallDisk:
    """A real file system without room, once it is filled."""

    def __init__(self, folder: Path) -> None:
        size = f"size={TMPFS_BYTES}"
        subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", folder], check=True)
        self._ballast = folder / "ballast"

    def fill(self) -> None:
        with self._ballast.open("wb", buffering=0) as file:
            for size in (65536, 1):
                try:
                    while file.write(bytes(size)):
                        pass
                except OSError:
                    continue

    def free(self) -> None:
        self._ballast.unlink()


class FileLimit:
    """No file may grow, while it is filled."""

    def fill(self) -> None:
        self._set(LIMIT_BYTES)

    def free(self) -> None:
        self._set(resource.RLIM_INFINITY)

    def _set(self, limit: int) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))


def make_queue(folder: Path) -> LabelQueue:
    config = make_config(total=200, initial=2, ahead=40, disk_reserve_bytes=2**20)
    schedule = LabelSchedule.of(config, num_episodes=100, mode="online")
    ledger = SqlLedger.open(folder / "ledger.sqlite", "run-1")
    return LabelQueue(ledger, config, schedule, run_id="run-1", seed=1)


class Acknowledged:
    """A labeler who remembers what was promised."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client
        self.seqs: list[int] = []

    async def label(self, count: int) -> None:
        for _ in range(count):
            answer = await post(self._client, choice(await take(self._client)))
            assert answer.status_code == 200, answer.text
            self.seqs.append(answer.json()["seq"])


def write_checkpoint(folder: Path, version: int) -> None:
    layout = Layout(num_ranks=1, zero_stage=0, dtype="float32")
    checkpoints = CheckpointFolder(folder / "policy", CheckpointConfig(), layout, rank=0)
    digest = checkpoints.write_share(version, {"weight": torch.full((10_000,), float(version))})
    position = make_position(version, batch_size=8, reward_version=1, learned_through=1)
    checkpoints.complete(position, None, (digest,))
    assert float(checkpoints.read(version).state["weight"][0]) == version


async def scenario(folder: Path, disk: SmallDisk | FileLimit) -> None:
    queue = make_queue(folder)
    token = await queue.owner.add_labeler("ann")
    await answer_orders(queue)
    sink, recordings = JsonlSink(folder / "metrics.jsonl"), Recordings(folder)
    rows, samples = iter(range(10_000)), iter(range(10_000))

    def tell(count: int) -> None:
        for _ in range(count):
            sink.write({"policy/step": next(rows), "time/wall_s": 1.0, "reward/score_mean": 0.5})
            record = FirstSampleRecord(version=next(samples), sampled_at=1.0)
            recordings.write(FIRST_SAMPLES, record)

    async with client_of(queue, token) as client:
        ann = Acknowledged(client)
        await ann.label(4)
        tell(NUM_ROWS)
        write_checkpoint(folder, 1)
        assert await queue.policy_loop.want_of_room() == ""
        await queue.policy_loop.wait_until_allowed(0)
        task = await take(client)

        disk.fill()
        refused = await post_until_refused(client, choice(task), ann)
        assert refused.json()["error"] == "DiskFull"
        assert "must free space" in refused.json()["message"]
        assert refused.headers["Retry-After"]
        assert "free space" in await queue.policy_loop.want_of_room()
        assert "free space" in (await queue.owner.overview()).trouble
        step = asyncio.create_task(queue.policy_loop.wait_until_allowed(0))
        told = asyncio.create_task(queue.policy_loop.set_progress(8, make_policy(1, 8)))
        tell(300)
        with pytest.raises(DiskFull, match=r"policy version 2 cannot be kept.*free space"):
            write_checkpoint(folder, 2)
        await asyncio.sleep(0.1)
        assert not step.done(), "a step was let through while the disk was full"
        assert not told.done(), "a version was said to be on a full disk"

        disk.free()
        await asyncio.wait_for(asyncio.gather(step, told), WAIT_S)
        assert await queue.policy_loop.want_of_room() == ""
        await ann.label(4)
        write_checkpoint(folder, 3)
        tell(1)
    await queue.close()
    sink.close()
    recordings.close()
    assert_whole(folder, ann.seqs, num_told=NUM_ROWS + 301)


async def post_until_refused(
    client: httpx.AsyncClient, first: dict[str, object], ann: Acknowledged
) -> httpx.Response:
    """Label on until nothing more is taken: SQLite may have room left in its own files."""
    body = first
    while True:
        answer = await post(client, body)
        if answer.status_code == 507:
            return answer
        assert answer.status_code == 200, answer.text
        ann.seqs.append(answer.json()["seq"])
        offered = await client.get("/api/v1/tasks/next")
        if offered.status_code == 507:
            return offered
        task = offered.json()
        chosen = task["candidates"][0]["candidate_id"]
        body = {"assignment_id": task["assignment_id"], "outcome": "choice", "choice": chosen}


def assert_whole(folder: Path, acknowledged: list[int], num_told: int) -> None:
    """Assert that the ledger has all that was promised, once, and that nothing told is missing."""
    ledger = SqlLedger.open(folder / "ledger.sqlite", "run-1")
    assert over_its_connection(ledger, "PRAGMA integrity_check") == "ok"
    labels = [event for event in ledger.events() if isinstance(event, Submitted)]
    assert len({event.event_id for event in labels}) == len(labels)
    assert set(acknowledged) <= {event.seq for event in labels}
    assert len(set(acknowledged)) == len(acknowledged) >= 8
    ledger.close()
    steps = [row["policy/step"] for row in read_metrics(folder / "metrics.jsonl")]
    assert steps == list(range(num_told))
    assert [each.version for each in read(folder, FIRST_SAMPLES)] == list(range(num_told))
    kept = sorted(path.name for path in (folder / "policy").glob("v*"))
    assert kept == ["v000001", "v000003"]


WAYS: dict[str, Callable[[Path], SmallDisk | FileLimit]] = {
    "tmpfs": SmallDisk,
    "limit": lambda _: FileLimit(),
}

if __name__ == "__main__":
    here = Path(sys.argv[1])
    asyncio.run(scenario(here, WAYS[sys.argv[2]](here)))
    print("whole")  # noqa: T201
