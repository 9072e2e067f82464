"""All that is asked of the run's other processes, asked twice; none of them is left out."""

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
from label_queue.config import IntakeConfig
from label_queue.intake.public_address import Site
from label_queue.intake.shell import IntakeShell
from label_queue.shell import LabelQueueShell
from learners.config import BaseModelConfig, PolicyConfig
from learners.shell import LearnerRank, RewardTrainerRank, SupervisedRank
from learners.weights import SharedMemoryPublisher
from protocol.errors import VersionError
from protocol.messages import StepReport
from protocol.remote import Remote
from reward_service.announcer import Announcer
from tests.support import learner_inputs as inputs
from tests.support.fake_engine import FakeEngine, fake_policy
from tests.support.journal_desk import make_batch, make_reward
from tests.support.memory_sink import MemorySink
from tests.support.messages import make_policy
from tests.support.plain_engine import PlainEngine
from tests.support.present import present
from tests.support.reward import make_reward_version
from tests.support.rollout_actor_contract import requests
from tests.support.tiny_model import save_tiny_model
from tests.support.twice import LOCAL, READS, Table, check_table, scenarios

ROOT = Path(__file__).parents[3]


class World:
    """Where scenarios keep their files; a tiny model."""

    def __init__(self, folder: Path, model: Path) -> None:
        self.folder = folder
        self.model = model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("policy"))


@pytest.fixture
def world(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr("learners.ppo.Engine", PlainEngine)
    monkeypatch.setattr("learners.reward_fit.Engine", PlainEngine)

    def join_once(*_: object) -> None:
        """A process group is joined once a process: a second time PyTorch would refuse."""
        assert not joined
        joined.append(True)

    joined: list[bool] = []
    monkeypatch.setattr("learners.engine.join_ranks", join_once)
    monkeypatch.setattr("label_queue.intake.shell.named", lambda _, who: Remote(None, who))
    return World(tmp_path, model)


# ── the learners ─────────────────────────────────────────────────────────────────────────────────


class CountingPublisher(SharedMemoryPublisher):
    """Pushes, and counts how often."""

    sent: list[int]

    def send(self, version: int) -> None:
        self.sent.append(version)


def learner_rank(world: World) -> LearnerRank:
    def publisher() -> CountingPublisher:
        made = CountingPublisher(world.folder / "weights")
        made.sent = []
        return made

    return LearnerRank(
        rank=0,
        policy=PolicyConfig(path=str(world.model)),
        ppo=inputs.PPO,
        kl=inputs.KL,
        learner=inputs.engine_config(1, 0),
        checkpoint_root=world.folder / "policy",
        total_episodes=inputs.TOTAL_EPISODES,
        seed=inputs.SEED,
        make_publisher=publisher,
    )


def started(world: World) -> LearnerRank:
    rank = learner_rank(world)
    first = rank.start("127.0.0.1", 1, inputs.PROBE)
    assert rank.start("127.0.0.1", 1, inputs.PROBE) == first
    assert present(first).version == 0
    return rank


async def start_learner(world: World) -> None:
    started(world).stop()


async def step(world: World) -> None:
    rank = started(world)
    first = rank.step(inputs.experience_batch(0))
    assert rank.step(inputs.experience_batch(0)) == first
    assert present(first).policy.version == 1
    rank.stop()


async def restore(world: World) -> None:
    rank = started(world)
    rank.step(inputs.experience_batch(0))
    kept = present(rank.checkpoints())[0]
    first = rank.restore(kept, 1)
    assert rank.restore(kept, 1) == first
    assert present(first).version == 2
    with pytest.raises(VersionError):
        rank.restore(kept, 3)
    rank.stop()


async def keep(world: World) -> None:
    rank = started(world)
    rank.step(inputs.experience_batch(0))
    assert rank.keep() == rank.keep() == 1
    assert present(rank.checkpoints()).count(1) == 1
    rank.stop()


async def resume(world: World) -> None:
    rank = started(world)
    rank.step(inputs.experience_batch(0))
    rank.keep()
    rank.stop()
    follower = learner_rank(world)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("learners.engine.join_ranks", lambda *_: None)
        follower.start("127.0.0.1", 1, inputs.PROBE)
    first = follower.resume(1, 4)
    assert follower.resume(1, 4) == first
    assert present(first).version == 4
    follower.stop()


async def send(world: World) -> None:
    """A push is a collective: actors that have the version would not come to a second one."""
    rank = started(world)
    rank.send(0)
    rank.send(0)
    publisher: Any = rank._publisher
    assert publisher.sent == [0]
    rank.step(inputs.experience_batch(0))
    rank.send(1)
    assert publisher.sent == [0, 1]
    rank.stop()


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


async def save(world: World) -> None:
    rank, folder = started(world), world.folder / "final"
    rank.save(str(folder))
    first = contents(folder)
    rank.save(str(folder))
    assert contents(folder) == first
    rank.stop()


async def stop_learner(world: World) -> None:
    rank = started(world)
    rank.stop()
    rank.stop()
    never_started = learner_rank(world)
    never_started.stop()


LEARNER: Table = {
    "address": READS,
    "pid": READS,
    "start": start_learner,
    "step": step,
    "checkpoints": READS,
    "restore": restore,
    "keep": keep,
    "resume": resume,
    "send": send,
    "save": save,
    "stop": stop_learner,
}


def trainer_rank(world: World) -> RewardTrainerRank:
    return RewardTrainerRank(
        rank=0,
        policy_path=world.model,
        model=inputs.REWARD_MODEL,
        fit=inputs.REWARD_FIT,
        deepspeed=inputs.engine_config(1, 0),
        root=world.folder / "reward",
    )


async def advance(world: World) -> None:
    rank = trainer_rank(world)
    rank.start("127.0.0.1", 1, inputs.reference_sequences())
    request = inputs.fit_request(count=11)
    assert [rank.advance(1, request) for _ in range(2)] == [False, False]
    trainer: Any = rank._trainer
    assert trainer._refit.steps.num_taken == 1
    assert [rank.advance(99) for _ in range(2)] == [True, True]
    rank.stop()


async def fit(world: World) -> None:
    rank = trainer_rank(world)
    for _ in range(2):
        rank.start("127.0.0.1", 1, inputs.reference_sequences())
    first = rank.fit(inputs.fit_request())
    assert rank.fit(inputs.fit_request()) == first
    assert [path.name for path in (world.folder / "reward").glob("v*")] == ["v000001"]
    rank.stop()
    rank.stop()


async def stop_trainer(world: World) -> None:
    rank = trainer_rank(world)
    rank.stop()
    rank.stop()


TRAINER: Table = {
    "address": READS,
    "pid": READS,
    "start": fit,
    "advance": advance,
    "fit": fit,
    "stop": stop_trainer,
}


async def train_base_model(world: World) -> None:
    trained: list[Path] = []

    def train(texts: object, config: object, folder: Path) -> float:
        trained.append(folder)
        return 0.5

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("learners.base_model.train_base_model", train)
        rank = SupervisedRank(rank=0, config=BaseModelConfig())
        for _ in range(2):
            assert rank.start("127.0.0.1", 1, ["a"], world.folder) == 0.5
    assert trained == [world.folder]
    rank.stop()
    rank.stop()


SUPERVISED: Table = {
    "address": READS,
    "pid": READS,
    "start": train_base_model,
    "stop": train_base_model,
}

# ── the actors ───────────────────────────────────────────────────────────────────────────────────


class StartedOnce(FakeEngine):
    """An engine that does not bear to be started again."""

    num_starts = 0

    async def start(self) -> None:
        self.num_starts += 1
        await super().start()


async def rollout_actor(world: World) -> None:
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
    policy = fake_policy(1, world.folder)
    assert await shell.load_policy(policy) == await shell.load_policy(policy)
    assert (await shell.stats()).num_loads == 1
    await shell.stop()
    await shell.stop()


ACTOR: Table = {
    "start": rollout_actor,
    "generate": rollout_actor,
    "load_policy": rollout_actor,
    "stats": READS,
    "stop": rollout_actor,
}

# ── the announcer ────────────────────────────────────────────────────────────────────────────────


async def announce(world: World) -> None:
    announcer = Announcer(heartbeat_timeout_s=60.0, now=lambda: 0.0)
    first, second = make_reward_version(1), make_reward_version(2)
    swaps = [asyncio.create_task(announcer.swap(first)) for _ in range(2)]
    assert await announcer.next_version("replica-1", None) == first
    polls = [asyncio.create_task(announcer.next_version("replica-1", first)) for _ in range(2)]
    await asyncio.gather(*swaps)
    assert announcer.served == first
    for _ in range(2):
        await announcer.forget_silent()
    assert announcer.replicas == {"replica-1": 1}
    swaps = [asyncio.create_task(announcer.swap(second)) for _ in range(2)]
    assert await asyncio.gather(*polls) == [second, second]
    for _ in range(2):
        await announcer.failed(2, VersionError("not loaded"))
    failed = await asyncio.gather(*swaps, return_exceptions=True)
    assert [type(each) for each in failed] == [VersionError] * 2
    assert announcer.served == first


ANNOUNCER: Table = {
    "standing": READS,
    "forget_silent": announce,
    "next_version": announce,
    "failed": announce,
    "swap": announce,
}

# ── metrics, recordings, journal ─────────────────────────────────────────────────────────────────


async def metrics(world: World) -> None:
    shell = MetricsShell(MetricsConfig(wandb="off"), str(world.folder), "run-1", {}, 0.0)
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
    steps = [row["policy/step"] for row in read_metrics(world.folder / "metrics.jsonl")]
    assert steps == [1, 2]
    assert sink.alerts == [("look", "here")]
    assert sink.summary == {"episodes": 8}


METRICS: Table = {
    **dict.fromkeys(("open", "write", "alert", "summarize", "answered", "close"), metrics),
    "incarnation": READS,
}


async def journal(world: World) -> None:
    recordings, sink = Recordings(world.folder), MemorySink()
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
    assert [each.version for each in read(world.folder, POLICIES)] == [1, 2]
    assert len(read(world.folder, LOADS)) == len(read(world.folder, REWARDS)) == 1


# ── the intake ───────────────────────────────────────────────────────────────────────────────────


async def stop_intake(world: World) -> None:
    intake = IntakeShell("label-queue", IntakeConfig(), Site(), host="127.0.0.1", port=0)
    await intake.ready()
    await intake.stop()
    await intake.stop()


INTAKE: Table = {"ready": READS, "stop": stop_intake, "incarnation": READS}
RECORDINGS: Table = {"write": LOCAL, "read": READS, "close": journal}
VERSIONED = dict.fromkeys(("step_done", "policy_loaded", "reward_served", "rolled_back"), journal)

TABLES: dict[type, Table] = {
    LearnerRank: LEARNER,
    RewardTrainerRank: TRAINER,
    SupervisedRank: SUPERVISED,
    RolloutActorShell: ACTOR,
    Announcer: ANNOUNCER,
    MetricsShell: METRICS,
    IntakeShell: INTAKE,
    Recordings: RECORDINGS,
}


@pytest.mark.parametrize("kind", TABLES)
def test_every_method_says_what_a_second_call_does(kind: type) -> None:
    check_table(kind, TABLES[kind])


SCENARIOS = sorted(
    {table[name] for table in (*TABLES.values(), VERSIONED) for name in scenarios(table)},
    key=lambda scenario: scenario.__name__ if scenario else "",
)


@pytest.mark.parametrize("scenario", SCENARIOS)
async def test_a_second_call_finds_what_the_first_did(world: World, scenario: Any) -> None:
    await scenario(world)


def test_the_announcers_process_has_no_call_of_its_own() -> None:
    """Its module is not imported here: Ray Serve takes its time, and warns."""
    tree = ast.parse((ROOT / "reward_service" / "shell.py").read_text("utf-8"))
    (shell,) = (
        node
        for node in tree.body
        if isinstance(node, ast.ClassDef) and node.name == "AnnouncerShell"
    )
    calls = {node.name for node in shell.body if isinstance(node, ast.AsyncFunctionDef)}
    reads = {"served", "replicas", "standing"}
    assert {name for name in calls if name[0] != "_"} - reads == {"next_version", "failed", "swap"}


def test_every_class_that_becomes_a_process_has_a_table() -> None:
    spawned = set()
    for package in ("cluster", "label_queue", "reward_service", "learners", "actors"):
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.Call) and ast.unparse(node.func) == "spawn":
                    spawned.add(ast.unparse(node.args[0]))
    assert spawned >= {"LabelQueueShell", "MetricsShell"}
    known = {kind.__name__ for kind in (*TABLES, LabelQueueShell)} | {"AnnouncerShell"}
    assert {name for name in spawned if name[0].isupper()} <= known
