"""The three learners as Ray actors on DeepSpeed, as a run starts and stops them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import psutil
import pytest
import ray
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from cluster.starting.ranks import RankGroup
from cluster.starting.remote import RemoteLearner, RemoteRewardTrainer, said
from cluster.supervision.config import RestartsConfig
from cluster.supervision.restarts import Restarts
from learners.config import LearnerConfig, PolicyConfig
from learners.shell import LearnerRank, Rank, RewardTrainerRank, SupervisedRank
from learners.text_config import BaseModelConfig, SupervisedConfig
from learners.weights import ObjectStorePublisher, SharedMemoryPublisher
from protocol.errors import VersionError
from protocol.fault_points import VARIABLE, Fault, FaultPlan
from protocol.messages import ExperienceBatch, StoredWeights, WeightsFile
from protocol.ports import WeightPublisher
from protocol.remote import Remote, raised_as_itself, spawn
from reward_service.bundle import load_bundle
from tests.support import learner_inputs as inputs
from tests.support.learner_contract import LearnerContract, Reached
from tests.support.patience import PATIENCE_S
from tests.support.reward_trainer_contract import RewardTrainerContract

AnyRank = TypeVar("AnyRank", bound=Rank)
P = ParamSpec("P")
R = TypeVar("R")


def call(
    ranks: list[Remote[AnyRank]],
    method: Callable[Concatenate[AnyRank, P], R],
    *args: P.args,
    **kwargs: P.kwargs,
) -> R:
    """Call a method on all ranks and return rank 0's answer."""
    sent = [rank.send(method, *args, **kwargs) for rank in ranks]
    with raised_as_itself("a rank"):
        first, *others = ray.get(sent, timeout=PATIENCE_S)
    assert all(answer is None for answer in others)
    answer: R = first
    return answer


def stop(ranks: Sequence[Remote[Any]]) -> None:
    for rank in ranks:
        ray.kill(rank.handle)


def meet(ranks: list[Remote[AnyRank]]) -> tuple[str, int]:
    """Return where the ranks meet: rank 0's address and a free port there."""
    return call(ranks[:1], Rank.address)


def niceness_of(ranks: list[Remote[AnyRank]]) -> set[int]:
    pids = ray.get([rank.send(Rank.pid) for rank in ranks])
    return {psutil.Process(pid).nice() for pid in pids}


@pytest.mark.parametrize(
    "transport", ["shared_memory", pytest.param("object_store", marks=pytest.mark.long)]
)
def test_learner(ray_session: None, tiny_model: Path, tmp_path: Path, transport: str) -> None:
    makers: dict[str, Callable[[], WeightPublisher]] = {
        "shared_memory": partial(SharedMemoryPublisher, tmp_path / "weights"),
        "object_store": partial(ObjectStorePublisher, ray.put),
    }
    ranks = [
        spawn(LearnerRank, "the learner", {})(
            rank=rank,
            policy=PolicyConfig(path=str(tiny_model)),
            ppo=inputs.PPO,
            kl=inputs.KL,
            learner=inputs.engine_config(2, 2),
            checkpoint_root=tmp_path / "policies",
            total_episodes=inputs.TOTAL_EPISODES,
            seed=inputs.SEED,
            make_publisher=makers[transport],
        )
        for rank in range(2)
    ]
    as_started = niceness_of(ranks)
    policy = said(call(ranks, LearnerRank.start, *meet(ranks), inputs.PROBE))
    assert policy.version == 0
    # They stand back for whatever else wants these cores.
    assert niceness_of(ranks) == {min(19, nice + LearnerConfig().niceness) for nice in as_started}
    assert probe_of(tiny_model) == pytest.approx(policy.probe.logprobs, abs=1e-4)

    report = said(call(ranks, LearnerRank.step, inputs.experience_batch(0)))
    assert report.policy.version == 1
    assert call(ranks, LearnerRank.step, inputs.experience_batch(0)) == report
    ref = report.policy.weights
    assert isinstance(ref, WeightsFile | StoredWeights)
    if isinstance(ref, WeightsFile):
        payload = Path(ref.path).read_bytes()
    else:
        payload = b"".join(ray.get([*ref.stored]))
    assert hashlib.sha256(payload).hexdigest() == ref.sha256

    assert call(ranks, LearnerRank.checkpoints) == (0,)
    restored = said(call(ranks, LearnerRank.restore, 0))
    assert (restored.version, restored.restored_from) == (2, 0)
    assert restored.probe == policy.probe
    report = said(call(ranks, LearnerRank.step, inputs.as_step(inputs.experience_batch(0), 2)))

    folder = tmp_path / "policy"
    call(ranks, LearnerRank.save, str(folder))
    assert probe_of(folder) == pytest.approx(report.policy.probe.logprobs, abs=1e-4)
    with pytest.raises(VersionError):
        call(ranks, LearnerRank.step, inputs.experience_batch(5))
    call(ranks, LearnerRank.stop)
    stop(ranks)
    assert list(tmp_path.glob("weights*")) == []


def test_reward_trainer(ray_session: None, tiny_model: Path, tmp_path: Path) -> None:
    ranks = [
        spawn(RewardTrainerRank, "the reward trainer", {})(
            rank=0,
            policy_path=tiny_model,
            model=inputs.REWARD_MODEL,
            fit=inputs.REWARD_FIT,
            deepspeed=inputs.engine_config(1, 0),
            root=tmp_path / "reward",
        )
    ]
    call(ranks, RewardTrainerRank.start, *meet(ranks), inputs.reference_sequences())
    refit = said(call(ranks, RewardTrainerRank.fit, inputs.fit_request()))
    warm = said(call(ranks, RewardTrainerRank.fit, inputs.fit_request("warm", count=5, first=11)))
    assert [refit.version, warm.version] == [1, 2]
    for version in (refit, warm):
        assert load_bundle(Path(version.path)).version.sha256 == version.sha256
    call(ranks, RewardTrainerRank.stop)
    stop(ranks)


@pytest.fixture(scope="module")
def learner_rank(
    ray_session: None, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Remote[LearnerRank]]:
    """One rank that tests share, at version 0."""
    folder = tmp_path_factory.mktemp("run")
    rank = spawn(LearnerRank, "the learner", {})(
        rank=0,
        policy=PolicyConfig(path=str(tiny_model)),
        ppo=inputs.PPO,
        kl=inputs.KL,
        learner=inputs.engine_config(1, 2),  # whose states DeepSpeed moves
        checkpoint_root=folder / "policies",
        total_episodes=inputs.TOTAL_EPISODES,
        seed=inputs.SEED,
        make_publisher=partial(SharedMemoryPublisher, folder / "weights"),
    )
    call([rank], LearnerRank.start, *meet([rank]), inputs.PROBE)
    yield rank
    call([rank], LearnerRank.stop)
    stop([rank])


@pytest.fixture(scope="module")
def shared_reached() -> Reached:
    """How far `learner_rank` has come."""
    return Reached()


class TestRemoteLearner(LearnerContract, of=RemoteLearner):
    @pytest.fixture
    def learner(self, learner_rank: Remote[LearnerRank]) -> RemoteLearner:
        return RemoteLearner(RankGroup([learner_rank], timeout_s=300.0))

    @pytest.fixture
    def reached(self, shared_reached: Reached) -> Reached:
        return shared_reached

    def batch(self, step: int) -> ExperienceBatch:
        return inputs.experience_batch(step)


def trainer_rank_of(
    model: Path, root: Path, faults: FaultPlan | None = None
) -> Remote[RewardTrainerRank]:
    variables = {} if faults is None else {VARIABLE: faults.to_json()}
    options = {"runtime_env": {"env_vars": variables}}
    return spawn(RewardTrainerRank, "the reward trainer", options)(
        rank=0,
        policy_path=model,
        model=inputs.REWARD_MODEL,
        fit=inputs.REWARD_FIT,
        deepspeed=inputs.engine_config(1, 0),
        root=root,
    )


def remote_trainer(
    place: Callable[[], RankGroup[RewardTrainerRank]], root: Path, told: list[str] | None = None
) -> RemoteRewardTrainer:
    causes: list[str] = [] if told is None else told
    restarts = Restarts(
        RestartsConfig(first_pause_s=0.01), lambda part, cause: causes.append(str(cause))
    )
    return RemoteRewardTrainer(place, root, restarts)


@pytest.fixture(scope="module")
def trainer_rank(
    ray_session: None, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Remote[RewardTrainerRank]]:
    """One rank that tests share."""
    rank = trainer_rank_of(tiny_model, tmp_path_factory.mktemp("run") / "reward")
    call([rank], RewardTrainerRank.start, *meet([rank]), inputs.reference_sequences())
    yield rank
    call([rank], RewardTrainerRank.stop)
    stop([rank])


class TestRemoteRewardTrainer(RewardTrainerContract, of=RemoteRewardTrainer):
    @pytest.fixture
    async def trainer(self, trainer_rank: Remote[RewardTrainerRank]) -> RemoteRewardTrainer:
        trainer = remote_trainer(
            lambda: RankGroup([trainer_rank], timeout_s=300.0), Path("nowhere")
        )
        await trainer.start(inputs.reference_sequences())
        return trainer


@pytest.mark.long
async def test_a_reward_trainer_that_dies_in_every_fit_but_the_first_goes_on_in_others(
    ray_session: None, tiny_model: Path, tmp_path: Path
) -> None:
    """The very fit that was killed is done, the next warm update as if nothing had happened."""
    requests = [
        inputs.fit_request(),
        inputs.fit_request("warm", count=5, first=11),
        inputs.fit_request("warm", count=4, first=16),
    ]
    told: list[str] = []

    # Each process but the undisturbed dies when it has learned for the second time, and nothing of
    # that is on disk yet.
    second = FaultPlan(faults=(Fault(point="reward_fit.learned", action="kill", at=2),))

    async def fitted(root: Path, faults: FaultPlan | None) -> list[str]:
        placed: list[RankGroup[RewardTrainerRank]] = []

        def place() -> RankGroup[RewardTrainerRank]:
            placed.append(RankGroup([trainer_rank_of(tiny_model, root, faults)], 300.0))
            return placed[-1]

        trainer = remote_trainer(place, root, told)
        await trainer.start(inputs.reference_sequences())
        digests = []
        for number, request in enumerate(requests):
            version = await trainer.fit(request)
            assert await trainer.fit(request) == version
            assert version.version == number + 1
            digests.append(version.sha256)
        process = psutil.Process(said(await placed[-1].ask(RewardTrainerRank.pid)))
        placed[-1].kill()
        process.wait(PATIENCE_S)  # until then it may still answer
        # What the next trainer is asked first it has already done.
        assert await trainer.fit(requests[-1]) == version
        await trainer.stop()
        placed[-1].kill()
        return digests

    undisturbed = await fitted(tmp_path / "undisturbed", None)
    assert len(told) == 1
    assert await fitted(tmp_path / "killed", second) == undisturbed
    assert len(told) == 1 + 3
    assert all("the reward trainer died" in each for each in told)


def test_base_model_from_texts(ray_session: None, tmp_path: Path) -> None:
    texts = ["the soup was good .", "the room was not very good ."] * 200
    config = BaseModelConfig(
        width=32,
        layers=1,
        heads=2,
        context_tokens=16,
        training=SupervisedConfig(lr=1e-2, batch_size=8, block_tokens=16),
    )
    ranks = [spawn(SupervisedRank, "the base model's learner", {})(rank=0, config=config)]
    loss = call(ranks, SupervisedRank.start, *meet(ranks), texts, tmp_path / "base")
    assert loss < 1.5  # log of 11 words is 2.4
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "base")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    assert model.config.vocab_size == len(tokenizer)
    assert (tmp_path / "base" / "training.json").is_file()
    call(ranks, SupervisedRank.stop)
    stop(ranks)


def probe_of(folder: Path) -> list[float]:
    """What transformers says of the probe under the weights on disk."""
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    ids = torch.tensor([inputs.PROBE])
    with torch.no_grad():
        logprobs = model(input_ids=ids).logits[0, :-1].log_softmax(dim=-1)
    chosen: list[float] = logprobs.gather(1, ids[0, 1:, None])[:, 0].tolist()
    return chosen
