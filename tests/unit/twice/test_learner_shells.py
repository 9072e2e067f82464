"""All that is asked of the processes that train, asked twice; `test_shells` has the others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from learners.config import PolicyConfig
from learners.shell import LearnerRank, RewardTrainerRank, SupervisedRank
from learners.text_config import BaseModelConfig
from learners.weights import SharedMemoryPublisher
from protocol.errors import VersionError
from tests.support import learner_inputs as inputs
from tests.support.plain_engine import PlainEngine
from tests.support.present import present
from tests.support.tiny_model import save_tiny_model
from tests.support.twice import READS, Table, check_table, every_scenario


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
    return World(tmp_path, model)


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


async def rest(world: World) -> None:
    rank = started(world)
    for move in (rank.wake, rank.rest, rank.rest, rank.wake, rank.wake):
        move()
    assert present(rank.step(inputs.experience_batch(0))).policy.version == 1
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
    "come_up": READS,
    "gpus": READS,
    "pid": READS,
    "start": start_learner,
    "step": step,
    "checkpoints": READS,
    "restore": restore,
    "keep": keep,
    "resume": resume,
    "send": send,
    "rest": rest,
    "wake": rest,
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
    "come_up": READS,
    "gpus": READS,
    "pid": READS,
    "start": fit,
    "advance": advance,
    "fit": fit,
    "stop": stop_trainer,
}


async def train_base_model(world: World) -> None:
    trained: list[Path] = []

    def train(texts: object, config: object, folder: Path, store: object) -> float:
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
    "come_up": READS,
    "gpus": READS,
    "pid": READS,
    "start": train_base_model,
    "stop": train_base_model,
}

TABLES: dict[type, Table] = {
    LearnerRank: LEARNER,
    RewardTrainerRank: TRAINER,
    SupervisedRank: SUPERVISED,
}


@pytest.mark.parametrize("kind", TABLES)
def test_every_method_says_what_a_second_call_does(kind: type) -> None:
    check_table(kind, TABLES[kind])


@pytest.mark.parametrize("scenario", every_scenario(TABLES.values()))
async def test_a_second_call_finds_what_the_first_did(world: World, scenario: Any) -> None:
    await scenario(world)
