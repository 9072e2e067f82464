"""PPO against the gold score itself: what a reward learned from labels is to come close to."""

from __future__ import annotations

import random
import shutil
import time
from pathlib import Path
from statistics import fmean, pstdev
from typing import Any

from benchmarks.label_efficiency.arms import Arm
from benchmarks.label_efficiency.sampling import Sampler
from benchmarks.label_efficiency.training import BATCH, EPISODES, make_learner
from benchmarks.label_efficiency.world import World
from protocol.messages import ExperienceBatch, Rollout, Score, ScoredRollout

NUM_NORMALISATION = 256
"""Responses of ρ that the reward has mean 0 and variance 1 over, as learned ones have."""


class DirectRun:
    """A direct arm at a seed; arguments as `training.Run`'s. `engine.join_ranks` comes first."""

    def __init__(
        self, world: World, arm: Arm, seed: int, folder: Path, episodes: int = EPISODES
    ) -> None:
        self._world = world
        self._folder = folder
        self._episodes = episodes
        self._rng = random.Random(seed)
        self._sampler = Sampler(world.policy, world.tokenizer, seed)
        self._learner = make_learner(world, arm, seed, folder, episodes, self._sampler)
        reference = [self._gold(each) for each in self._draw(NUM_NORMALISATION)]
        # All alike: there is nothing to scale.
        self._mean, self._std = fmean(reference), pstdev(reference) or 1.0

    def result(self) -> dict[str, Any]:
        """Train to the end, and return the curve, as `training.Run.result` does."""
        started, rows = time.monotonic(), []
        for step in range(self._episodes // BATCH):
            rollouts = self._draw(BATCH)
            batch = ExperienceBatch(
                step=step,
                rollouts=tuple(
                    ScoredRollout(rollout=rollout, score=self._score(rollout))
                    for rollout in rollouts
                ),
                episodes_before=step * BATCH,
                reward_version=0,
                learned_through=0,
            )
            report = self._learner.step(batch)
            assert report is not None, "this rank is the first"
            rows.append(
                {
                    "episodes": step * BATCH,
                    "labels": 0,
                    "kl": report.metrics["kl/reference_mean"],
                    "gold": fmean(map(self._gold, rollouts)),
                    "score": fmean(each.score.value for each in batch.rollouts),
                }
            )
        last = self._draw(512)
        self._learner.close()
        shutil.rmtree(self._folder, ignore_errors=True)
        return {
            "gold": fmean(map(self._gold, last)),
            "kl": fmean(row["kl"] for row in rows[-5:]),
            "labels": 0,
            "seconds": time.monotonic() - started,
            "rows": rows,
        }

    def _draw(self, number: int) -> list[Rollout]:
        return self._sampler.draw(self._rng.choices(self._world.prompts, k=number))

    def _gold(self, rollout: Rollout) -> float:
        return self._world.gold(rollout.prompt.text, rollout.text)

    def _score(self, rollout: Rollout) -> Score:
        value = (self._gold(rollout) - self._mean) / self._std
        return Score(value=value, heads=(value,), reward_version=0)
