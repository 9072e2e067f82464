"""Each thing that may be upside down, broken for real in a real learner: which guard finds it.

A tiny GPT-2 is trained by the learner itself, a reward fitted by the trainer itself; only the
processes between them are left out. The clean run is the other half: it must not be stopped.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from actors.config import ResponseConfig, RolloutConfig
from actors.weights import Weights
from actors.worker import RolloutWorker
from cluster.guards.config import GuardsConfig
from cluster.guards.evidence import Evidence
from cluster.guards.guards import Guards
from cluster.run_folder import RunFolder
from label_queue.figures.known_order import KnownPair
from learners.advantages import penalised_rewards
from learners.config import LearnerConfig, PolicyConfig, PPOConfig, RewardFitConfig
from learners.fit_steps import FitSteps
from learners.losses import value_loss
from learners.ppo import PPOLearner
from learners.ppo_metrics import measured_kl
from learners.reward_fit import RewardTrainer
from learners.weights import SharedMemoryPublisher
from protocol.errors import NotFinite, ProbeMismatch
from protocol.fits import Comparison, FitRequest, RewardVersion
from protocol.messages import PolicyVersion, Score
from reward_service.batching import score_sequences
from reward_service.buckets import BatchLimits
from reward_service.bundle import load_bundle, write_bundle
from reward_service.config import RewardModelConfig
from tests.support.controller_world import BATCH, World, small_config
from tests.support.cord import release_shown
from tests.support.fake_engine import FakeEngine, fake_policy
from tests.support.injected import KL, Injected, gold
from tests.support.memory_sink import MemorySink
from tests.support.one_rank import OneRankLearner
from tests.support.one_thread import do_threads_work_at_once, settle
from tests.support.parts import FakeActor
from tests.support.plain_engine import PlainEngine
from tests.support.present import present
from tests.support.real_queue import LabelSide
from tests.support.tiny_model import save_tiny_model

MakeRun = Callable[..., Injected]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("policy"))


@pytest.fixture
async def make_run(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[MakeRun]:
    monkeypatch.setattr("learners.ppo.Engine", PlainEngine)
    made: list[Injected] = []

    def make(**changes: Any) -> Injected:
        made.append(Injected(model, tmp_path, **changes))
        return made[-1]

    yield make
    for each in made:
        await each.close()


# ── the learner ──────────────────────────────────────────────────────────────────────────────────


async def test_a_clean_run_is_not_stopped_and_learns(make_run: MakeRun) -> None:
    run = make_run()
    assert await run.run(40) == (40, [])
    assert sum(run.golds[-8:]) / 8 > run.golds[0] + 1.5


async def test_scores_with_their_sign_flipped_are_seen_by_people(make_run: MakeRun) -> None:
    """And by nobody else: the KL's sign flipped too, as in Ziegler et al., leaves −score − β·KL.

    Under that the text stays near ρ's and the KL near its target.
    """
    run = make_run(score=lambda tokens: -gold(tokens))
    steps, guards = await run.run(30)
    assert guards == ["winrate"]
    assert steps <= 20
    [kept] = list(RunFolder(run.folder).guards.iterdir())
    assert kept.name == "0001-winrate.json"


async def test_a_learner_that_trains_against_the_score_is_seen_before_people_have_said_much(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flipped(scores: Tensor, *others: Any) -> Tensor:
        return penalised_rewards(-scores, *others)

    monkeypatch.setattr("learners.targets.penalised_rewards", flipped)
    steps, guards = await make_run().run(30)
    assert guards == ["score_falls"]
    assert steps <= 12


def test_flipping_both_signs_is_flipping_the_score_alone() -> None:
    scores, mask = torch.tensor([2.0]), torch.ones(1, 2)
    policy, reference = torch.tensor([[-1.0, -2.0]]), torch.tensor([[-2.0, -4.0]])
    both = -penalised_rewards(scores, policy, reference, mask, -0.5)
    assert both.equal(penalised_rewards(-scores, policy, reference, mask, 0.5))


async def test_the_whole_reward_flipped_is_stopped(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flipped(*args: Any) -> Tensor:
        return -penalised_rewards(*args)

    monkeypatch.setattr("learners.targets.penalised_rewards", flipped)
    _, guards = await make_run().run(30)
    assert set(guards) <= {"winrate", "kl_runaway", "score_falls"}
    assert guards


async def test_a_penalty_that_pays_for_kl_runs_away(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flipped(*args: Any) -> Tensor:
        scores, policy, reference, mask, coefficient = args
        return penalised_rewards(scores, policy, reference, mask, -coefficient)

    monkeypatch.setattr("learners.targets.penalised_rewards", flipped)
    _, guards = await make_run().run(30)
    assert guards == ["kl_runaway"]


async def test_a_kl_measured_the_wrong_way_round_is_negative(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flipped(*args: Any) -> Tensor:
        return -measured_kl(*args)

    monkeypatch.setattr("learners.ppo.measured_kl", flipped)
    steps, guards = await make_run().run(30)
    assert guards == ["kl_sign"]
    assert steps <= 10


async def test_a_learning_rate_a_thousand_times_too_high_is_stopped(make_run: MakeRun) -> None:
    steps, guards = await make_run(lr=0.2).run(30)
    assert guards == ["kl_runaway"]
    assert steps <= 9  # six above the limit, of which a small policy is never far


async def test_a_sampler_that_keeps_its_first_weights_differs_from_the_trainer(
    make_run: MakeRun,
) -> None:
    """Under the names of versions it does not hold, and past a probe that does not look."""
    steps, guards = await make_run(loads=False).run(30)
    assert "logprob_mismatch" in guards
    assert steps <= 8


class DeafEngine(FakeEngine):
    """Says that it took the weights, and keeps its own."""

    async def load(self, version: int, weights: Weights) -> None:
        self._version = version


async def test_weights_that_were_not_really_loaded_fail_the_probe(tmp_path: Path) -> None:
    worker = RolloutWorker(
        "rollout-0",
        DeafEngine(),
        ResponseConfig(max_tokens=8, cut_after=2),
        RolloutConfig(),
        clock=lambda: 0.0,
    )
    await worker.start()
    with pytest.raises(ProbeMismatch):
        await worker.load_policy(fake_policy(1, tmp_path))


class Unproved(FakeActor):
    """Takes the real learner's versions, whose probe it cannot answer."""

    async def load_policy(self, policy: PolicyVersion) -> float:
        self.version = policy.version
        return 0.0


async def test_nan_in_a_gradient_stops_the_line_and_the_real_learner_goes_on(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("learners.ppo.Engine", PlainEngine)
    calls = iter(range(10_000))

    def nan_in_the_third_step(*args: Any) -> Tensor:
        # 2 epochs × 2 minibatches a step: this is halfway through the third.
        return value_loss(*args) * (torch.nan if next(calls) == 2 * 4 + 2 else 1.0)

    monkeypatch.setattr("learners.ppo.value_loss", nan_in_the_third_step)
    do_threads_work_at_once()
    world = World(tmp_path, actors=[Unproved(), Unproved()], config=small_config())
    learner = PPOLearner(
        policy=PolicyConfig(path=str(model)),
        ppo=PPOConfig(batch_size=BATCH, minibatches=2, epochs=2, lr=1e-4),
        kl=KL,
        learner=LearnerConfig(),
        checkpoint_root=tmp_path / "policy",
        total_episodes=5 * BATCH,
        probe_token_ids=(4, 9, 14),
        publisher=SharedMemoryPublisher(tmp_path / "weights"),
        seed=3,
    )
    world.learner = OneRankLearner(learner)  # type: ignore[assignment]
    running = asyncio.ensure_future(world.controller().run())
    await settle()
    # Fake responses were sampled by no policy, so another guard may have tripped on them before.
    for _ in range(5):
        reasons = (await world.labels.cord()).reasons
        if "not_finite" in [each.guard for each in reasons]:
            break
        await release_shown(world.people.queue, "the fakes' own")
        await settle()
    kept = [each for each in world.evidence() if each["guard"] == "not_finite"]
    assert "step on policy version 2 met NaN" in kept[0]["reason"]
    assert world.people.policies[-1].restored_from == 2
    assert world.progress[-1] == 2 * BATCH

    while not running.done():
        await release_shown(world.people.queue, "the batch was odd")
        await settle()
    await running
    assert world.progress[-1] == 5 * BATCH
    parameters = learner._engine.module.parameters()
    assert all(bool(parameter.isfinite().all()) for parameter in parameters)
    await world.close()


# ── the reward ───────────────────────────────────────────────────────────────────────────────────

LIMITS = BatchLimits(max_tokens=4096, max_sequences=64)
PROMPT = (4, 9)


class RewardSide:
    """A real trainer, the bundles it writes, and the guards that score anchors with them."""

    def __init__(self, model: Path, folder: Path) -> None:
        self.rng = random.Random(2)
        self.folder = folder
        self.trainer = RewardTrainer(
            policy_path=model,
            model=RewardModelConfig(),
            fit=RewardFitConfig(lr=1e-3, batch_size=8, epochs=3, seed=4),
            deepspeed=LearnerConfig(),
            root=folder / "reward",
            reference_sequences=[PROMPT + self.response() for _ in range(64)],
            clock=lambda: 0.0,
        )
        self.people = LabelSide()
        self.live: Any = None
        self.guards = Guards(
            GuardsConfig(),
            KL,
            labels=self.people.loop,
            scorer=self,
            evidence=Evidence(RunFolder(folder)),
            tell=MemorySink().write,
            anchors=[self.anchor() for _ in range(128)],
        )

    def response(self) -> tuple[int, ...]:
        return tuple(self.rng.randrange(3, 53) for _ in range(8))

    def anchor(self) -> KnownPair:
        while True:
            worse, better = sorted((self.response(), self.response()), key=gold)
            if gold(better) - gold(worse) >= 3:
                return KnownPair(
                    prompt="",
                    better="",
                    worse="",
                    better_tokens=PROMPT + better,
                    worse_tokens=PROMPT + worse,
                )

    def labels(self, count: int, *, inverted: bool) -> tuple[Comparison, ...]:
        return tuple(self._label(seq, inverted=inverted) for seq in range(1, count + 1))

    def _label(self, seq: int, *, inverted: bool) -> Comparison:
        pair = (self.response(), self.response())
        prefers_second = gold(pair[1]) > gold(pair[0])
        return Comparison(
            seq=seq,
            query_id=f"q{seq}",
            labeler_id="ann",
            purpose="train",
            prompt_token_ids=PROMPT,
            candidate_token_ids=pair,
            policy_versions=(0, 0),
            outcome="choice",
            choice=int(prefers_second != inverted),
            ranking=None,
        )

    async def fit(self, labels: Sequence[Comparison]) -> RewardVersion:
        """Refit on labels, and serve what came of it."""
        request = FitRequest(
            kind="refit",
            ledger_seq=len(labels),
            comparisons=tuple(labels),
            labeler_weights=(),
            exclusions_sha256="",
            labels_used=len(labels),
        )
        version = present(self.trainer.fit(request))
        await self.serve(version)
        return version

    async def serve(self, version: RewardVersion) -> None:
        self.live = load_bundle(Path(version.path))
        await self.guards.reward_served(version)

    async def score(self, sequences: Sequence[Sequence[int]]) -> list[Score]:
        return score_sequences(self.live.model, sequences, self.live.version.version, LIMITS)

    async def tripped(self) -> list[str]:
        return [each.guard for each in (await self.people.loop.cord()).reasons]


@pytest.fixture
async def side(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[RewardSide]:
    monkeypatch.setattr("learners.reward_fit.Engine", PlainEngine)
    made = RewardSide(model, tmp_path)
    yield made
    made.trainer.close()
    await made.people.close()


async def test_rewards_fitted_on_true_labels_are_not_stopped(side: RewardSide) -> None:
    labels = side.labels(320, inverted=False)
    for count in (128, 192, 256, 320):
        await side.fit(labels[:count])
    assert await side.tripped() == []
    assert side.guards.state.anchor_accuracy.was_above


async def test_labels_that_a_connector_inverts_are_found_by_the_anchors(side: RewardSide) -> None:
    labels = side.labels(320, inverted=True)
    for count in (128, 192, 256, 320):
        await side.fit(labels[:count])
    assert await side.tripped() == ["anchor_accuracy"]


async def test_a_head_of_zeros_is_refused_by_the_trainer(
    side: RewardSide, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = side.labels(64, inverted=False)
    await side.fit(labels)
    take = FitSteps.take

    def zeroed(self: FitSteps, until: int | None = None) -> None:
        take(self, until)
        engine: Any = self._engine
        torch.nn.init.zeros_(engine.module.heads.weight)

    monkeypatch.setattr(FitSteps, "take", zeroed)
    with pytest.raises(NotFinite, match="the same score"):
        await side.fit(labels[:60])


async def test_a_head_of_zeros_that_is_served_is_found_by_the_anchors(side: RewardSide) -> None:
    version = await side.fit(side.labels(64, inverted=False))
    assert await side.tripped() == []
    torch.nn.init.zeros_(side.live.model.heads.weight)
    spoiled = write_bundle(
        side.folder / "spoiled", side.live.model, replace(version, version=2, path="", sha256="")
    )
    await side.serve(spoiled)
    assert await side.tripped() == ["anchor_accuracy"]
