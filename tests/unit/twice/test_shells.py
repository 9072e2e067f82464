"""All that is asked of the run's other processes, asked twice; none of them is left out.

Those that train are in `test_learner_shells`.
"""

from __future__ import annotations

import ast
import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from actors.config import ResponseConfig, RolloutConfig
from actors.shell import RolloutActorShell
from actors.worker import RolloutWorker
from cluster.loops.journal import Journal
from cluster.metrics.config import MetricsConfig
from cluster.metrics.jsonl_sink import read_metrics
from cluster.metrics.shell import MetricsShell
from cluster.recordings.streams import LOADS, POLICIES, REWARDS, Recordings, read
from cluster.stores.contents import stored_file
from cluster.stores.shell import KeeperShell
from label_queue.config import IntakeConfig
from label_queue.intake.public_address import Site
from label_queue.intake.shell import IntakeShell
from label_queue.shell import LabelQueueShell
from protocol.errors import VersionError
from protocol.folders import FoldersHere
from protocol.messages import StepReport
from protocol.remote import Remote
from reward_service.announcer import Announcer
from tests.support.fake_engine import FakeEngine, fake_policy
from tests.support.journal_desk import make_batch, make_reward
from tests.support.memory_sink import MemorySink
from tests.support.messages import make_policy
from tests.support.present import present
from tests.support.reward import make_reward_version
from tests.support.rollout_actor_contract import requests
from tests.support.twice import LOCAL, READS, Table, check_table, every_scenario
from tests.unit.twice.test_learner_shells import TABLES as LEARNERS

ROOT = Path(__file__).parents[3]


# ── the actors ───────────────────────────────────────────────────────────────────────────────────


class StartedOnce(FakeEngine):
    """An engine that does not bear to be started again."""

    num_starts = 0

    async def start(self) -> None:
        self.num_starts += 1
        await super().start()


async def rollout_actor(folder: Path) -> None:
    engine = StartedOnce()
    shell: RolloutActorShell = object.__new__(RolloutActorShell)  # its own engine is vLLM's
    shell._worker = RolloutWorker(
        "rollout-0",
        engine,
        ResponseConfig(max_tokens=8, cut_after=2),
        RolloutConfig(),
        clock=lambda: 1.0,
    )
    await asyncio.gather(shell.start(), shell.start())
    assert engine.num_starts == 1
    asked = requests(2)
    assert await shell.generate(asked) == await shell.generate(asked)
    assert (await shell.stats()).num_rollouts == 2
    policy = fake_policy(1, folder)
    assert await shell.load_policy(policy) == await shell.load_policy(policy)
    assert (await shell.stats()).num_loads == 1
    await asyncio.gather(shell.rest(), shell.rest())
    await shell.rest()
    assert engine.moves.count("rests") == 1
    assert await shell.load_policy(policy) == await shell.load_policy(policy)
    assert engine.moves[1:] == ["rests", "has weights", "awake"]
    await shell.stop()
    await shell.stop()


ACTOR: Table = {
    "start": rollout_actor,
    "generate": rollout_actor,
    "load_policy": rollout_actor,
    "rest": rollout_actor,
    "gpus": READS,
    "stats": READS,
    "stop": rollout_actor,
}

# ── the announcer ────────────────────────────────────────────────────────────────────────────────


async def announce(folder: Path) -> None:
    announcer = Announcer(heartbeat_timeout_s=60.0, now=lambda: 0.0)
    first, second = make_reward_version(1), make_reward_version(2)
    swaps = [asyncio.create_task(announcer.swap(first)) for _ in range(2)]
    assert await announcer.next_version("replica-1", None) == first
    polls = [asyncio.create_task(announcer.next_version("replica-1", first)) for _ in range(2)]
    await asyncio.gather(*swaps)
    assert announcer.served == first
    for _ in range(2):
        announcer.at_work("replica-1")
        await announcer.forget_silent()
    assert announcer.replicas == {"replica-1": 1}
    swaps = [asyncio.create_task(announcer.swap(second)) for _ in range(2)]
    assert await asyncio.gather(*polls) == [second, second]
    for _ in range(2):
        await announcer.failed(2, VersionError("not loaded"))
    failed = await asyncio.gather(*swaps, return_exceptions=True)
    assert [type(each) for each in failed] == [VersionError] * 2
    assert announcer.served == first
    for version in (first, make_reward_version(3)):
        for _ in range(2):
            await announcer.withdraw(version, VersionError("its update was not loaded"))
    await announcer.swap(first)
    with pytest.raises(VersionError, match="its update"):
        await announcer.swap(make_reward_version(3))


ANNOUNCER: Table = {
    "standing": READS,
    "at_work": announce,
    "forget_silent": announce,
    "next_version": announce,
    "failed": announce,
    "withdraw": announce,
    "swap": announce,
}

# ── metrics, recordings, journal ─────────────────────────────────────────────────────────────────


async def metrics(folder: Path) -> None:
    shell = MetricsShell(MetricsConfig(wandb="off"), str(folder), "run-1", {}, 0.0)
    for _ in range(2):
        await shell.open()
    hub, sink = present(shell._hub), MemorySink()
    hub._sinks = (*hub._sinks, sink)
    for _ in range(2):
        await shell.write(0, 0, {"policy/step": 1, "reward/score_mean": 0.5})
        await shell.alert(1, 0, "look", "here")
        await shell.summarize(2, 1, {"episodes": 8})
    await shell.write(3, 3, {"policy/step": 2, "reward/score_mean": 0.5})
    for _ in range(2):
        await shell.answered(4)
        await shell.close(4, 4)
    steps = [row["policy/step"] for row in read_metrics(folder / "metrics.jsonl")]
    assert steps == [1, 2]
    assert sink.alerts == [("look", "here")]
    assert sink.summary == {"episodes": 8}


METRICS: Table = {
    **dict.fromkeys(("open", "write", "alert", "summarize", "answered", "close"), metrics),
    "incarnation": READS,
}


async def journal(folder: Path) -> None:
    recordings, sink = Recordings(folder), MemorySink()
    told = Journal(recordings, sink, now=lambda: 100.0)
    report = StepReport(policy=make_policy(1, 2), metrics={"policy/loss": 0.5})
    calls: tuple[Callable[[], None], ...] = (
        lambda: told.policy_loaded(make_policy(), 1e-6),
        lambda: told.reward_served(make_reward(1)),
        lambda: told.step_done(make_batch(0, 1), report, 0),
        lambda: told.rolled_back(make_policy(2, 2), asked_for=0),
    )
    for call in calls:
        call()
        num_rows, num_alerts = len(sink.rows), len(sink.alerts)
        call()
        assert (len(sink.rows), len(sink.alerts)) == (num_rows, num_alerts)
    recordings.close()
    recordings.close()
    assert [each.version for each in read(folder, POLICIES)] == [1, 2]
    assert len(read(folder, LOADS)) == len(read(folder, REWARDS)) == 1


# ── the intake ───────────────────────────────────────────────────────────────────────────────────


async def stop_intake(folder: Path) -> None:
    intake = IntakeShell("label-queue", IntakeConfig(), Site(), host="127.0.0.1", port=0)
    await intake.ready()
    await intake.stop()
    await intake.stop()


# ── the keeper of the run's folders ──────────────────────────────────────────────────────────────


async def folder_keeper(folder: Path) -> None:
    keeper, version = KeeperShell(FoldersHere), folder / "reward" / "v000001"
    (folder / "sent").write_bytes(b"whole")
    sent = stored_file(folder, "sent")
    for _ in range(2):
        keeper.write(version, "part", 0, b"who")
    for _ in range(2):
        keeper.write(version, "part", 3, b"le")
    for _ in range(2):
        keeper.seal(version, "part", sent)
    for _ in range(2):
        keeper.complete(version, ["sent"])
    assert keeper.piece(version, "sent", 0) == b"whole"
    for _ in range(2):
        keeper.amend(version, "manifest.json", b"{}")
    assert keeper.versions(version.parent) == (version,)
    assert [each.name for each in keeper.contents(version, ["*"])] == ["manifest.json", "sent"]
    for _ in range(2):
        keeper.remove(version)
    assert keeper.versions(version.parent) == ()
    keeper.write(version, "part", 0, b"half")
    for _ in range(2):
        keeper.discard(version)
    assert list(version.parent.iterdir()) == []


KEEPER: Table = {
    **dict.fromkeys(("versions", "contents", "piece", "incarnation"), READS),
    **dict.fromkeys(("write", "seal", "complete", "discard", "amend", "remove"), folder_keeper),
}
INTAKE: Table = {"ready": READS, "stop": stop_intake, "incarnation": READS}
RECORDINGS: Table = {"write": LOCAL, "read": READS, "close": journal}
VERSIONED = dict.fromkeys(("step_done", "policy_loaded", "reward_served", "rolled_back"), journal)

TABLES: dict[type, Table] = {
    RolloutActorShell: ACTOR,
    Announcer: ANNOUNCER,
    MetricsShell: METRICS,
    IntakeShell: INTAKE,
    KeeperShell: KEEPER,
    Recordings: RECORDINGS,
}


@pytest.mark.parametrize("kind", TABLES)
def test_every_method_says_what_a_second_call_does(kind: type) -> None:
    check_table(kind, TABLES[kind])


@pytest.mark.parametrize("scenario", every_scenario((*TABLES.values(), VERSIONED)))
async def test_a_second_call_finds_what_the_first_did(
    tmp_path: Path, scenario: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("label_queue.intake.shell.named", lambda _, who: Remote(None, who))
    await scenario(tmp_path)


def calls_of(module: str, kind: str) -> set[str]:
    """Return what is asked of a process whose module, which imports Serve, is not imported here."""
    tree = ast.parse((ROOT / "reward_service" / module).read_text("utf-8"))
    (shell,) = (node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == kind)
    calls = {node.name for node in shell.body if isinstance(node, ast.AsyncFunctionDef)}
    return {name for name in calls if name[0] != "_"}


def test_the_announcers_process_has_no_call_of_its_own() -> None:
    reads = {"served", "replicas", "standing"}
    changes = {"next_version", "at_work", "failed", "withdraw", "swap"}
    assert calls_of("shell.py", "AnnouncerShell") - reads == changes


def test_the_rewards_face_is_asked_nothing_but_whether_it_is_ready_and_to_stop() -> None:
    """Both come twice in `tests/integration/test_reward_face.py`."""
    assert calls_of("face.py", "RewardFace") == {"ready", "stop"}


def test_every_class_that_becomes_a_process_has_a_table() -> None:
    spawned = set()
    for package in ("cluster", "label_queue", "reward_service", "learners", "actors"):
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.Call) and ast.unparse(node.func) == "spawn":
                    spawned.add(ast.unparse(node.args[0]))
    assert spawned >= {"LabelQueueShell", "MetricsShell"}
    known = {kind.__name__ for kind in (*TABLES, *LEARNERS, LabelQueueShell)} | {
        "AnnouncerShell",
        "RewardFace",
    }
    assert {name for name in spawned if name[0].isupper()} <= known
