"""The curve of one run: what each of its PPO steps had, and what came of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from statistics import fmean
from typing import Any

from learners.ppo import PPOLearner
from protocol.messages import ExperienceBatch, Rollout


def train(
    learner: PPOLearner,
    num_steps: int,
    *,
    next_batch: Callable[[int], ExperienceBatch],
    draw_last: Callable[[], Sequence[Rollout]],
    kl: Callable[[Sequence[Rollout]], float],
    gold: Callable[[Rollout], float],
) -> dict[str, Any]:
    """Train to the end, and return the curve: rows of episodes, labels, KL, gold and score.

    Args:
        learner: Of one rank.
        num_steps: PPO steps.
        next_batch: Returns a step's batch; `learned_through` is the labels there are by then.
        draw_last: Draws responses of the policy at the end.
        kl: How far from ρ the policy that drew them is, nats a response. The rows have what the
            learner saw, and steered by: that is of the policies that drew its batches.
        gold: The hidden score.
    """
    started, rows = time.monotonic(), []
    for step in range(num_steps):
        batch = next_batch(step)
        report = learner.step(batch)
        assert report is not None, "this rank is the first"
        rows.append(
            {
                "episodes": batch.episodes_before,
                "labels": batch.learned_through,
                "kl": report.metrics["kl/reference_mean"],
                "gold": fmean(gold(each.rollout) for each in batch.rollouts),
                "score": fmean(each.score.value for each in batch.rollouts),
            }
        )
    last = draw_last()
    return {
        "gold": fmean(map(gold, last)),
        "kl": kl(last),
        "labels": rows[-1]["labels"],
        "seconds": time.monotonic() - started,
        "rows": rows,
    }
