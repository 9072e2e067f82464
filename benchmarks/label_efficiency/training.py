"""One run: PPO, reward fits, schedule, selectors and labelers as in Andon, in one process.

What a run of Andon does with processes, this does by turns: ask until l(n) labels are there, fit
what is due, draw, score, step. No response is older than the policy it trains.
"""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.label_efficiency.arms import Arm
from benchmarks.label_efficiency.curve import train
from benchmarks.label_efficiency.recipe import (
    BATCH,
    ENGINE,
    EPISODES,
    LABELER,
    NUM_LAST,
    NUM_NORMALISATION,
    PROMPTS_A_TURN,
    QUALITY,
    fit_config,
    kl_config,
    labels_config,
    ppo_config,
    reward_model_config,
)
from benchmarks.label_efficiency.sampling import Sampler
from benchmarks.label_efficiency.world import World
from label_queue.asking.orders import QueryMaker
from label_queue.asking.reference_pool import ReferencePool
from label_queue.asking.selection import make_selector
from label_queue.fitting.retraining import RetrainingPlan, make_request
from label_queue.schedule import LabelSchedule
from label_queue.simulated.choice import decide
from label_queue.simulated.marking import marks_of, words_of
from learners.config import LearnerConfig, PolicyConfig
from learners.ppo import PPOLearner
from learners.reward_fit import RewardTrainer
from protocol.fits import Comparison, FitKind
from protocol.labels import Mark, QueryDraft, QueryOrder
from protocol.messages import ExperienceBatch, Prompt, Rollout, Score, ScoredRollout
from protocol.tokenizing import PolicyTokenizer
from reward_service.batching import score_sequences
from reward_service.buckets import BatchLimits
from reward_service.bundle import load_bundle
from reward_service.config import RewardModelConfig
from reward_service.reward_model import RewardModel

LIMITS = BatchLimits(max_tokens=16_384, max_sequences=512)


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
    return PPOLearner(
        policy=PolicyConfig(path=str(world.policy)),
        ppo=ppo_config(arm),
        kl=kl_config(world.task, arm),
        learner=engine,
        checkpoint_root=folder / "policy",
        total_episodes=episodes,
        probe_token_ids=world.prompts[0].token_ids,
        publisher=sampler,
        seed=seed,
    )


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
        reward_model: What learns labels, where it is not the recipe's.

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
        reward_model: RewardModelConfig | None = None,
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
        reference = self._sampler.draw(self._drawn_prompts(NUM_NORMALISATION))
        self._trainer = RewardTrainer(
            policy_path=world.policy,
            model=reward_model or reward_model_config(arm),
            fit=fit_config(seed),
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

    def fitted_on_held_out(self, num_pairs: int) -> tuple[NDArray[np.float64], list[list[float]]]:
        """Ask and fit what comes before the first step, and put pairs to the reward.

        Returns r₁ − r₂ of each particle at the scale at which it learned, [N, M], and both golds of
        each pair.
        """
        self._collect(0)
        prompts = self._drawn_prompts(num_pairs)
        drawn = self._sampler.draw([prompt for prompt in prompts for _ in range(2)])
        heads = np.array([each.heads for each in self._scores(drawn)])
        learned = heads * np.array(self._learned_scales)
        golds = [self._gold(each) for each in drawn]
        pairs = [list(pair) for pair in zip(golds[::2], golds[1::2], strict=True)]
        return learned[::2] - learned[1::2], pairs

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
        elif self._plan.update_due_in_s(labels - len(self._learned), now=0.0) == 0.0:
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
