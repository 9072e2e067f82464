"""The watch over a run: what it hands on."""

from __future__ import annotations

import asyncio
import io
import shutil
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from cluster.config_file import parse_config
from cluster.loops.journal import Journal
from cluster.metrics.hub import MetricsHub
from cluster.recordings.streams import ACTORS, RESTARTS, Recordings, read
from cluster.run_folder import RunFolder
from cluster.watching import watch
from cluster.watching.display import RunDisplay
from cluster.watching.memory import PeakMemory
from cluster.watching.status import describe
from protocol.cord import CordState, Pulled
from protocol.errors import ActorDied, DiskFull
from protocol.messages import ActorStats
from tests.support.labels import make_cord
from tests.support.memory_sink import MemorySink
from tests.support.messages import make_rollout
from tests.support.metric_proofs import proves

STATS = ActorStats(
    actor_id="rollout-0",
    policy_version=0,
    num_rollouts=0,
    num_tokens=0,
    num_in_flight=0,
    uptime_s=1.0,
    busy_s=0.0,
    num_loads=0,
    load_s=0.0,
)


class Queue:
    """The label queue, which has been looked at enough at the third time."""

    def __init__(self) -> None:
        self.sampled: list[tuple[int, float]] = []
        self.num_looks = 0
        self.told: list[str] = []
        self.is_enough = asyncio.Event()

    async def first_sampled(self, version: int, at: float) -> None:
        self.sampled.append((version, at))

    async def stats(self) -> dict[str, float]:
        self.num_looks += 1
        return {"labels/seq": self.num_looks, "labels/accepted": 10.0 * self.num_looks}

    async def online_stats(self) -> dict[str, float]:
        return {}

    async def tell_activity(self, words: str) -> None:
        self.told.append(words)
        if self.num_looks == 3:
            self.is_enough.set()
            await asyncio.Event().wait()

    async def cord(self) -> CordState:
        pull = Pulled(event_id="c1", actor="ann", reason="it rhymes", at=7.0)
        return make_cord(pull) if self.num_looks == 2 else CordState(is_pulled=False)

    async def want_of_room(self) -> str:
        return "free space" if self.num_looks == 2 else ""

    async def ledger_commit_p95_s(self) -> float:
        return 0.002


class Actor:
    async def stats(self) -> ActorStats:
        return STATS


def one_actor() -> list[Actor]:
    return [Actor()]


class DeadActor:
    async def stats(self) -> ActorStats:
        raise ActorDied("rollout actor rollout-1 died")


class MuteActor:
    async def stats(self) -> ActorStats:
        await asyncio.Event().wait()
        raise AssertionError("nobody waits so long")


@proves("system/rss_bytes", "system/disk_free_bytes", "system/ledger_commit_p95_s")
async def test_what_the_parts_say_is_handed_on_at_every_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "INTERVAL_S", 0)
    folder = RunFolder.create(tmp_path)
    content = {"people": ["ann"], "policy": {"path": "model"}, "prompts": {}, "labels": {}}
    config = parse_config({**content, "run": {"episodes": 5120}}, "test")
    sink, out, recordings = MemorySink(), io.StringIO(), Recordings(folder.recordings)
    journal = Journal(recordings, MetricsHub([sink], lambda: 0.0), now=lambda: 100.0)
    journal.rollouts_finished([make_rollout()])
    display = RunDisplay(Console(file=out, width=100), "demo-1")
    queue: Any = Queue()
    memory = PeakMemory()
    memory.current_bytes = 3 * 2**20
    watching = watch.Watch(config, folder, journal, display, memory)

    task = asyncio.create_task(watching.watch(queue, one_actor, "label at …"))
    await asyncio.wait_for(queue.is_enough.wait(), 10)
    task.cancel()
    recordings.close()

    assert queue.num_looks == 3
    # The version's first rollout is told once, however often the watch looks.
    assert queue.sampled == [(0, 11.0)]
    accepted = [row["labels/accepted"] for row in sink.rows if "labels/accepted" in row]
    assert accepted == [10.0, 20.0, 30.0]
    commits = [row["system/ledger_commit_p95_s"] for row in sink.rows if "system/rss_bytes" in row]
    assert commits == [0.002] * 3
    system = [row for row in sink.rows if "system/rss_bytes" in row]
    assert [row["system/rss_bytes"] for row in system] == [3 * 2**20] * 3
    free = shutil.disk_usage(tmp_path).free
    assert system[-1]["system/disk_free_bytes"] == pytest.approx(free, rel=0.05)
    assert "collecting first labels" in out.getvalue()
    assert queue.told == [
        "collecting first labels",
        "stopped by the cord",
        "collecting first labels",
    ]
    assert folder.read_state()["activity"] == "collecting first labels"
    # The cord hung pulled at the second look, and was released by the third.
    assert "stopped by the cord" in out.getvalue()
    assert (
        f"cord pulled by ann: it rhymes · to go on: andon cord release {tmp_path}" in out.getvalue()
    )
    assert [title for title, _ in sink.alerts] == [
        *("cord pulled by ann", "the disk is full"),
        *("cord released", "the disk has room again"),
    ]
    assert "free space" in out.getvalue()
    assert folder.read_state()["disk"] == ""
    assert folder.read_state()["cord"]["is_pulled"] is False


async def test_what_an_interrupted_look_did_not_tell_the_next_one_tells(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path)
    content = {"people": ["ann"], "policy": {"path": "model"}, "prompts": {}, "labels": {}}
    config = parse_config({**content, "run": {"episodes": 5120}}, "test")
    recordings = Recordings(folder.recordings)
    journal = Journal(recordings, MetricsHub([MemorySink()], lambda: 0.0), now=lambda: 100.0)
    journal.rollouts_finished([make_rollout()])
    display = RunDisplay(Console(file=io.StringIO(), width=100), "demo-1")
    watching = watch.Watch(config, folder, journal, display, PeakMemory())

    class Deaf(Queue):
        async def first_sampled(self, version: int, at: float) -> None:
            await asyncio.Event().wait()

    deaf: Any = Deaf()
    interrupted = asyncio.create_task(watching.look(deaf, one_actor))
    await asyncio.sleep(0)
    interrupted.cancel()
    with pytest.raises(asyncio.CancelledError):
        await interrupted
    queue: Any = Queue()
    await watching.look(queue, one_actor)
    recordings.close()
    assert queue.sampled == [(0, 11.0)]


async def test_what_was_in_the_way_of_a_life_before_is_not_told_of_this_one(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path)
    hanging = {"is_pulled": True, "pulled_by": "ann", "reason": "it rhymes"}
    # Killed with a full disk, and as somebody released the cord.
    folder.update_state(disk="free space", cord=hanging)
    content = {"people": ["ann"], "policy": {"path": "model"}, "prompts": {}, "labels": {}}
    config = parse_config({**content, "run": {"episodes": 5120}}, "test")
    recordings, sink = Recordings(folder.recordings), MemorySink()
    journal = Journal(recordings, MetricsHub([sink], lambda: 0.0), now=lambda: 100.0)
    display = RunDisplay(Console(file=io.StringIO(), width=100), "demo-1")
    watching = watch.Watch(config, folder, journal, display, PeakMemory())
    queue: Any = Queue()
    await watching.look(queue, one_actor)
    recordings.close()
    state = {"mode": "online", "seed": 1, "state": "running", "folder": tmp_path, "metrics": {}}
    told = describe({**state, **folder.read_state()}, as_json=False)
    assert "cord" not in told
    assert "disk" not in told
    assert sink.alerts == []


def test_nodes_that_are_waited_for_are_told_instead_of_the_phase(tmp_path: Path) -> None:
    folder, out = RunFolder.create(tmp_path), io.StringIO()
    content = {"people": ["ann"], "policy": {"path": "model"}, "prompts": {}, "labels": {}}
    config = parse_config({**content, "run": {"episodes": 5120}}, "test")
    journal = Journal(Recordings(folder.recordings), MetricsHub([], lambda: 0.0))
    watching = watch.Watch(
        config, folder, journal, RunDisplay(Console(file=out, width=300), "demo-1"), PeakMemory()
    )
    words = "waiting for nodes: 1 of 3 bundles placed, asked for 2 learner ranks (1 GPU each)"
    watching.show("preparing the base model")
    watching.waits_for_nodes(words)
    watching.show("starting actors")
    state = {"mode": "online", "seed": 1, "state": "starting", "folder": tmp_path, "metrics": {}}
    told = describe({**state, **folder.read_state()}, as_json=False)
    assert f"  now               {words}" in told
    assert f"] {words} · episodes 0/5120" in out.getvalue()
    assert "starting actors" not in out.getvalue()
    watching.waits_for_nodes("")
    assert folder.read_state()["activity"] == "starting actors"
    assert "] starting actors" in out.getvalue()


@proves("system/restarts")
async def test_actors_are_looked_at_anew_and_the_dead_and_the_mute_are_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "PATIENCE_S", 0.01)
    folder = RunFolder.create(tmp_path)
    content = {"people": ["ann"], "policy": {"path": "model"}, "prompts": {}, "labels": {}}
    config = parse_config({**content, "run": {"episodes": 5120}}, "test")
    sink, recordings = MemorySink(), Recordings(folder.recordings)
    journal = Journal(recordings, MetricsHub([sink], lambda: 0.0), now=lambda: 100.0)
    display = RunDisplay(Console(file=io.StringIO(), width=100), "demo-1")
    watching = watch.Watch(config, folder, journal, display, PeakMemory())
    queue: Any = Queue()
    there: list[Any] = [MuteActor(), DeadActor()]
    await watching.look(queue, lambda: there)
    journal.restarted("rollout actor rollout-1", ActorDied("rollout actor rollout-1 died"))
    journal.restarted("the reward trainer", ActorDied("the reward trainer died"))
    there[1] = Actor()
    await watching.look(queue, lambda: there)
    recordings.close()
    assert [each.actor_id for each in read(folder.recordings, ACTORS)] == ["rollout-0"]
    counts = [row["system/restarts"] for row in sink.rows if "system/restarts" in row]
    assert counts == [0, 2]
    assert [(each.part, each.cause) for each in read(folder.recordings, RESTARTS)] == [
        ("rollout actor rollout-1", "ActorDied: rollout actor rollout-1 died"),
        ("the reward trainer", "ActorDied: the reward trainer died"),
    ]


def test_an_offered_rollback_is_told_with_its_command() -> None:
    pulls = (
        Pulled(
            event_id="c1",
            actor="guard",
            reason="it moved",
            at=1.0,
            offered_rollback=40,
            guard="reward_turned",
            evidence="guards/0001-reward_turned.json",
        ),
        Pulled(event_id="c2", actor="ann", reason="typo", at=2.0),
    )
    cord = make_cord(*pulls)
    assert watch.describe_cord(cord, Path("runs/demo-1")).splitlines() == [
        "cord pulled by guard reward_turned: it moved",
        "what it saw: runs/demo-1/guards/0001-reward_turned.json",
        "cord pulled by ann: typo",
        "to go back first: andon rollback runs/demo-1 --to 40",
        "to go on: andon cord release runs/demo-1",
    ]


async def test_what_a_full_disk_keeps_out_of_run_json_is_written_once_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = RunFolder.create(tmp_path)
    content = {"people": ["ann"], "policy": {"path": "model"}, "prompts": {}, "labels": {}}
    config = parse_config({**content, "run": {"episodes": 5120}}, "test")
    journal = Journal(Recordings(folder.recordings), MemorySink(), now=lambda: 100.0)
    display = RunDisplay(Console(file=io.StringIO(), width=100), "demo-1")
    watching = watch.Watch(config, folder, journal, display, PeakMemory())

    class Full(Queue):
        async def want_of_room(self) -> str:
            return "the disk is full" if self.num_looks < 3 else ""

    def refuse(**_: object) -> None:
        raise DiskFull("run.json: its disk is full")

    queue: Any = Full()
    with monkeypatch.context() as full:
        full.setattr(folder, "update_state", refuse)
        watching.show("training")
        await watching.look(queue, list)
    assert not folder.state.exists()
    await watching.look(queue, list)
    assert folder.read_state()["activity"] == "training"
    assert folder.read_state()["disk"] == "the disk is full"
    await watching.look(queue, list)
    assert folder.read_state()["disk"] == ""
