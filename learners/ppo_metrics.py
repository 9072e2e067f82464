"""What a PPO step can say of its batch before it trains. Names as in docs/METRICS.md."""

from __future__ import annotations

import torch
from torch import Tensor

from learners.collate import Responses
from protocol.messages import ExperienceBatch


def evaluation_metrics(responses: Responses, reference_logprobs: Tensor) -> dict[str, float]:
    """Return the measured KL(π‖ρ) of a batch: mean and largest Σ_t (log π − log ρ), nats.

    π is the behaviour policy, whose samples these are: only then is the mean's expectation never
    negative, however stale the batch.
    """
    kl = (responses.behavior_logprobs - reference_logprobs).sum(dim=1)
    return {"kl/reference_mean": float(kl.mean()), "kl/reference_max": float(kl.max())}


def reward_metrics(batch: ExperienceBatch) -> dict[str, float]:
    """Return the distribution of a batch's scores, and what it goes with."""
    scores = torch.tensor([each.score.value for each in batch.rollouts])
    heads = torch.tensor([each.score.heads for each in batch.rollouts])
    lengths = torch.tensor([float(each.rollout.num_kept) for each in batch.rollouts])
    low, high = torch.quantile(scores, torch.tensor([0.05, 0.95])).tolist()
    metrics = {
        "reward/score_mean": float(scores.mean()),
        "reward/score_std": float(scores.std(correction=0)),
        "reward/score_p05": low,
        "reward/score_p95": high,
        "reward/version": float(batch.reward_version),
    }
    if heads.shape[1] > 1:
        metrics["reward/ensemble_std"] = float(heads.std(dim=1, correction=0).mean())
    if float(lengths.std(correction=0)) > 0 and float(scores.std(correction=0)) > 0:
        pair = torch.stack([lengths, scores])
        metrics["reward/length_correlation"] = float(torch.corrcoef(pair)[0, 1])
    return metrics


def staleness_metrics(
    batch: ExperienceBatch,
    responses: Responses,
    proximal_logprobs: Tensor,
    version: int,
    importance_weight_cap: float,
) -> dict[str, float]:
    """Return how old a batch is, and how far its sampler was from the trainer.

    The mismatch is measured on responses sampled wholly under the version the learner holds, where
    nothing but arithmetic can differ; it is absent when there are none.

    Args:
        batch: The messages.
        responses: The same as tensors.
        proximal_logprobs: [B, T], the learner's own.
        version: The learner's, before the step.
        importance_weight_cap: The weights' bound.
    """
    mask = responses.mask.bool()
    lags = [version - each.rollout.oldest_version for each in batch.rollouts]
    differences = proximal_logprobs - responses.behavior_logprobs
    weights = differences.exp()[mask]
    metrics = {
        "staleness/policy_lag_mean": sum(lags) / len(lags),
        "staleness/policy_lag_max": float(max(lags)),
        "staleness/importance_weight_mean": float(weights.clamp(max=importance_weight_cap).mean()),
        "staleness/importance_weight_capped": float(
            (weights > importance_weight_cap).float().mean()
        ),
    }
    current = torch.tensor(
        [
            each.rollout.oldest_version == version == each.rollout.newest_version
            for each in batch.rollouts
        ],
        device=mask.device,
    )
    if bool(current.any()):
        mismatch = differences.abs()[mask & current[:, None]]
        metrics["rollout/logprob_mismatch_mean"] = float(mismatch.mean())
        metrics["rollout/logprob_mismatch_max"] = float(mismatch.max())
    return metrics
