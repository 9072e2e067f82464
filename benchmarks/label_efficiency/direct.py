"""PPO against the gold score itself: what a reward learned from labels is to come close to."""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from statistics import fmean, pstdev
from typing import Any

from benchmarks.label_efficiency.arms import Arm
from benchmarks.label_efficiency.curve import train
from benchmarks.label_efficiency.recipe import BATCH, EPISODES, NUM_LAST, NUM_NORMALISATION
from benchmarks.label_efficiency.sampling import Sampler
from benchmarks.label_efficiency.training import make_learner
from benchmarks.label_efficiency.world import World
from protocol.messages import ExperienceBatch, Rollout, Score, ScoredRollout


class DirectRun:
    """A direct arm at a seed; arguments as `training.Run`'s. `engine.join_ranks` comes first."""

    def __init__(
        self, world: World, arm: Arm, seed: int, folder: Path, episodes: int = EPISODES
    ) -> None:
        self._world = world
        self._folder = folder
        self._episodes = episodes
        self._rng = random.Random(seed)
        self._sampler = Sampler(world.policy, world.tokenizer, seed, arm.drawn)
        self._learner = make_learner(world, arm, seed, folder, episodes, self._sampler)
        reference = [self._gold(each) for each in self._draw(NUM_NORMALISATION)]
        # All alike: there is nothing to scale.
        self._mean, self._std = fmean(reference), pstdev(reference) or 1.0

    def result(self) -> dict[str, Any]:
        """Train to the end, and return the curve; see `curve.train`."""
        result = train(
            self._learner,
            self._episodes // BATCH,
            next_batch=self._next_batch,
            draw_last=self._draw_last,
            kl=self._sampler.kl,
            gold=self._gold,
        )
        self._learner.close()
        shutil.rmtree(self._folder, ignore_errors=True)
        return result

    def _next_batch(self, step: int) -> ExperienceBatch:
        scored = (
            ScoredRollout(rollout=rollout, score=self._score(rollout))
            for rollout in self._draw(BATCH)
        )
        return ExperienceBatch(
            step=step,
            rollouts=tuple(scored),
            episodes_before=step * BATCH,
            reward_version=0,
            learned_through=0,
        )

    def _draw_last(self) -> list[Rollout]:
        self._sampler.catch_up()
        return self._draw(NUM_LAST)

    def _draw(self, number: int) -> list[Rollout]:
        return self._sampler.draw(self._rng.choices(self._world.prompts, k=number))

    def _gold(self, rollout: Rollout) -> float:
        return self._world.gold(rollout.prompt.text, rollout.text)

    def _score(self, rollout: Rollout) -> Score:
        value = (self._gold(rollout) - self._mean) / self._std
        return Score(value=value, heads=(value,), reward_version=0)
