"""One run: PPO, reward fits, schedule, selectors and labelers as in Andon, in one process.

What a run of Andon does with processes, this does by turns: ask until l(n) labels are there, fit
what is due, draw, score, step. No response is older than the policy it trains.
"""

from __future__ import annotations

import math
import random
import shutil
import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

from benchmarks.label_efficiency.arms import PARTICLES, Arm
from benchmarks.label_efficiency.curve import train
from benchmarks.label_efficiency.sampling import Sampler
from benchmarks.label_efficiency.world import World
from label_queue.asking.orders import QueryMaker
from label_queue.asking.reference_pool import ReferencePool
from label_queue.asking.selection import make_selector
from label_queue.config import LabelsConfig, QualityConfig, WarmConfig
from label_queue.fitting.retraining import RetrainingPlan, make_request
from label_queue.schedule import LabelSchedule
from label_queue.simulated.choice import decide
from label_queue.simulated.config import LabelerProfile
from label_queue.simulated.marking import marks_of, words_of
from learners.config import KLConfig, LearnerConfig, PolicyConfig, PPOConfig, RewardFitConfig
from learners.ppo import PPOLearner
from learners.reward_fit import RewardTrainer
from protocol.fits import Comparison, FitKind
from protocol.labels import Mark, QueryDraft, QueryOrder
from protocol.messages import ExperienceBatch, Prompt, Rollout, Score, ScoredRollout
from protocol.tokenizing import PolicyTokenizer
from reward_service.batching import score_sequences
from reward_service.buckets import BatchLimits
from reward_service.bundle import load_bundle
from reward_service.config import MarksConfig, RewardModelConfig
from reward_service.reward_model import RewardModel

EPISODES = 8_192
BATCH = 128
NUM_LAST = 512
"""Responses whose gold is that of the policy at the end."""
PROMPTS_A_TURN = 32
"""Asked about with one policy and one reward, before either is looked at again."""
REFITS = 6
FREE_KL = KLConfig(kind="fixed", coefficient=0.005)
LABELER = LabelerProfile(beta=1.0, eps_mistake=0.05)
LIMITS = BatchLimits(max_tokens=16_384, max_sequences=512)
ENGINE = LearnerConfig.model_validate(
    {
        "micro_batch_size": 128,
        "matmul_dtype": "float32",  # a series goes on elsewhere
        "checkpoint": {"every_steps": 1_000_000},
    }
)
QUALITY = QualityConfig(weigh_reliability=False)


def labels_config(arm: Arm, budget: int) -> LabelsConfig:
    """Return what an arm asks for with N = `budget` labels."""
    return LabelsConfig(
        total=budget,
        initial=max(16, budget // 4),
        rounds=4,
        refits=REFITS,
        selector=arm.selector,
        num_candidates=arm.num_candidates,
        warm=WarmConfig(every_labels=16),
    )


def make_learner(
    world: World,
    arm: Arm,
    seed: int,
    folder: Path,
    episodes: int,
    sampler: Sampler,
    engine: LearnerConfig = ENGINE,
) -> PPOLearner:
    """Return the learner of an arm, which publishes to its sampler.

    Arguments as `Run`'s.
    """
    target = world.kl_target if arm.kl_target is None else arm.kl_target
    held = KLConfig(coefficient=first_beta(target), target=target, horizon_episodes=1280)
    return PPOLearner(
        policy=PolicyConfig(path=str(world.policy)),
        ppo=PPOConfig(
            batch_size=BATCH,
            lr=1e-3,
            lr_schedule="constant",
            whiten_rewards=False,  # scaled, a trunk as small as this one is wrecked by its critic
            affirmative_nudge=arm.nudge,
            mark_coefficient=arm.mark_coefficient,
            objective=arm.objective,
        ),
        kl=FREE_KL if arm.is_free else held,
        learner=engine,
        checkpoint_root=folder / "policy",
        total_episodes=episodes,
        probe_token_ids=world.prompts[0].token_ids,
        publisher=sampler,
        seed=seed,
    )


def first_beta(target: float) -> float:
    """Return β where a normal reward of variance 1 has the KL at a target, nats.

    ρ reweighted by e^{r/β} has KL 1/(2β²) there. In so few episodes the controller moves β by a
    factor of three at most. The same for gold and for learned rewards: on ρ's responses both have
    variance 1.
    """
    return 1 / math.sqrt(2 * target)


class Run:
    """An arm at a budget and a seed.

    Args:
        world: The task.
        arm: The way of asking.
        budget: N, labels.
        seed: Of everything that is drawn.
        folder: For bundles; emptied at the end.
        episodes: N_π.
        engine: Of both learners.

    `engine.join_ranks` comes first.
    """

    def __init__(
        self,
        world: World,
        arm: Arm,
        budget: int,
        seed: int,
        folder: Path,
        episodes: int = EPISODES,
        engine: LearnerConfig = ENGINE,
    ) -> None:
        self._world = world
        self._reader = PolicyTokenizer(world.tokenizer)
        self._labeler = LABELER.model_copy(update={"marks": arm.mark_share})
        self._folder = folder
        self._episodes = episodes
        self._seed = seed
        self._rng = random.Random(seed)
        self._config = labels_config(arm, budget)
        self._schedule = LabelSchedule.of(self._config, num_episodes=episodes, mode=arm.mode)
        self._plan = RetrainingPlan(self._schedule, self._config.warm)
        self._selector = make_selector(self._config)
        numbers = count()
        self._maker = QueryMaker(
            self._config,
            run_id="efficiency",
            selector=self._selector,
            pool=ReferencePool(per_query=1, rng=self._rng),
            new_id=lambda: f"q{next(numbers)}",
            rng=self._rng,
        )
        self._labels: list[Comparison] = []
        self._learned: frozenset[int] = frozenset()
        self._reward: RewardModel | None = None
        self._reward_version = 0
        self._learned_scales: tuple[float, ...] = ()
        self._sampler = Sampler(world.policy, world.tokenizer, seed)
        self._learner = make_learner(world, arm, seed, folder, episodes, self._sampler, engine)
        reference = self._sampler.draw(self._drawn_prompts(256))
        self._trainer = RewardTrainer(
            policy_path=world.policy,
            model=RewardModelConfig(
                num_heads=PARTICLES,
                heads="epistemic",
                pooling="mean",  # so small a trunk learns from fewer labels so, as in the demo
                num_normalisation_samples=len(reference),
                marks=MarksConfig() if arm.mark_share else None,
            ),
            fit=RewardFitConfig(
                lr=1e-3, batch_size=16, epochs=3, warm_lr=2e-4, warm_batch_size=16, seed=seed
            ),
            deepspeed=engine,
            root=folder / "reward",
            reference_sequences=[_sequence(each) for each in reference],
            clock=time.monotonic,
        )

    def result(self) -> dict[str, Any]:
        """Train to the end, and return the curve; see `curve.train`."""
        result = train(
            self._learner,
            self._episodes // BATCH,
            next_batch=self._next_batch,
            draw_last=lambda: self._sampler.draw(self._drawn_prompts(NUM_LAST)),
            kl=self._sampler.kl,
            gold=self._gold,
        )
        self.close()
        return result

    def _next_batch(self, step: int) -> ExperienceBatch:
        self._collect(step * BATCH)
        rollouts = self._sampler.draw(self._drawn_prompts(BATCH))
        return ExperienceBatch(
            step=step,
            rollouts=tuple(self._scored(rollouts)),
            episodes_before=step * BATCH,
            reward_version=self._reward_version,
            learned_through=len(self._labels),
        )

    def close(self) -> None:
        """Free the learners, and remove what they wrote."""
        self._learner.close()
        self._trainer.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _gold(self, rollout: Rollout) -> float:
        return self._world.gold(rollout.prompt.text, rollout.text)

    def _drawn_prompts(self, number: int) -> list[Prompt]:
        return self._rng.choices(self._world.prompts, k=number)

    def _scored(self, rollouts: Sequence[Rollout]) -> list[ScoredRollout]:
        scores = self._scores(rollouts)
        return [
            ScoredRollout(rollout=rollout, score=score)
            for rollout, score in zip(rollouts, scores, strict=True)
        ]

    def _scores(self, rollouts: Sequence[Rollout]) -> list[Score]:
        assert self._reward is not None, "the first refit comes before the first step"
        sequences = [_sequence(each) for each in rollouts]
        return score_sequences(self._reward, sequences, self._reward_version, LIMITS)

    # ── labels ───────────────────────────────────────────────────────────────────────────────

    def _collect(self, episodes: int) -> None:
        """Ask until l(n) labels are there, fitting what becomes due on the way."""
        while (lacking := self._schedule.wanted(episodes) - len(self._labels)) > 0:
            self._ask(min(lacking, PROMPTS_A_TURN))
            self._fit_what_is_due()

    def _ask(self, number: int) -> None:
        drafts = self._drafts(number * self._selector.pool_factor)
        order = QueryOrder(
            order_id="o",
            purpose="train",
            num_drafts=len(drafts),
            num_queries=number,
            num_candidates=self._selector.num_responses,
            prompts=(),
        )
        for selection in self._maker.choose(order, drafts):
            self._labels.append(self._label(selection.draft))

    def _drafts(self, number: int) -> list[QueryDraft]:
        size, prompts = self._selector.num_responses, self._drawn_prompts(number)
        drawn = self._sampler.draw([prompt for prompt in prompts for _ in range(size)])
        groups = [tuple(drawn[start : start + size]) for start in range(0, len(drawn), size)]
        drafts = [
            QueryDraft(prompt=prompt, rollouts=group)
            for prompt, group in zip(prompts, groups, strict=True)
        ]
        if not self._selector.needs_scores or self._reward is None:
            return drafts
        scores = iter(self._scores(drawn))
        return [
            replace(draft, heads=tuple(next(scores).heads for _ in draft.rollouts)).at_scales(
                self._learned_scales
            )
            for draft in drafts
        ]

    def _label(self, draft: QueryDraft) -> Comparison:
        golds = [self._gold(each) for each in draft.rollouts]
        number = len(self._labels) + 1
        verdict = decide(golds, "best_of_k", LABELER, number, self._rng)
        return Comparison(
            seq=number,
            query_id=f"q{number}",
            labeler_id="robot",
            purpose="train",
            prompt_token_ids=draft.prompt.token_ids,
            candidate_token_ids=tuple(each.kept_token_ids for each in draft.rollouts),
            policy_versions=tuple(each.oldest_version for each in draft.rollouts),
            outcome="choice",
            choice=verdict.order[0],
            ranking=None,
            marks=self._marks(draft, number) if self._labeler.marks else (),
        )

    def _marks(self, draft: QueryDraft, number: int) -> tuple[tuple[int, int, int, Mark], ...]:
        rng = random.Random(
            f"marks/{self._seed}/{number}"
        )  # of its own: the choices are those without marks

        def score(response: str) -> float:
            return self._world.gold(draft.prompt.text, response)

        return tuple(
            (index, *mark)
            for index, rollout in enumerate(draft.rollouts)
            for mark in marks_of(
                words_of(score, self._reader.shown_text(rollout.kept_token_ids)),
                self._labeler,
                number,
                rng,
            )
        )

    # ── fits ─────────────────────────────────────────────────────────────────────────────────

    def _fit_what_is_due(self) -> None:
        labels = len(self._labels)
        if self._plan.is_refit_due(labels):
            self._fit("refit")
        elif self._plan.update_due_in_s(labels, now=0.0) == 0.0:
            self._fit("warm")

    def _fit(self, kind: FitKind) -> None:
        request = make_request(
            kind,
            self._labels,
            seq=len(self._labels),
            learned=self._learned,
            exclusions_sha256="",
            replay=self._config.warm.replay,
            seed=0,
            quality=QUALITY,
        )
        version = self._trainer.fit(request)
        assert version is not None, "this rank is the first"
        self._learned = frozenset(each.seq for each in self._labels)
        self._plan.fitted(kind, labels=len(self._labels), now=0.0)
        self._reward = load_bundle(Path(version.path)).model
        self._reward_version = version.version
        self._learned_scales = version.learned_scales
        shutil.rmtree(version.path)


def _sequence(rollout: Rollout) -> tuple[int, ...]:
    return rollout.prompt.token_ids + rollout.kept_token_ids
