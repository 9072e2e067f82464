"""What a PPO step can say of its batch before it trains. Each name is defined in docs/METRICS.md.

Three policies meet in a stale batch: the behaviour policy, which sampled it, an older version or
several; π_prox, the version the step starts from; and π_θ, which the step makes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from learners.collate import Responses
from learners.losses import importance_weights
from learners.targets import Evaluation
from protocol.errors import NotFinite
from protocol.messages import ExperienceBatch, ScoredRollout


def measured_kl(responses: Responses, evaluation: Evaluation, cap: float) -> Tensor:
    """Return a batch's samples of KL(π‖ρ), Σ_t w_t·(log π − log ρ) in nats, [B].

    π is the policy that sampled, as in the rewards: the mean's expectation is never negative only
    for the policy whose samples these are, so the KL that is controlled is the one that is paid.
    Of a response of the learner's own version that is π_prox, by the learner's own figures; w then
    weighs each token by what makes a sampler's choice π_prox's, as in the loss. It is 1 where both
    agree, and for an older response, whose π is the behaviour policy itself.

    Args:
        responses: The batch as tensors.
        evaluation: What the models say of it.
        cap: The weights' bound.
    """
    weights = importance_weights(evaluation.proximal_logprobs, responses.behavior_logprobs, cap)
    weights = torch.where(evaluation.current(responses)[:, None], weights, 1.0)
    penalised = evaluation.penalised_logprobs(responses)
    return (weights * (penalised - evaluation.reference_logprobs)).sum(dim=1)


def kl_metrics(kl: Tensor, coefficient: float, target: float | None) -> dict[str, float]:
    """Return what is told of a batch's KL, and what it costs.

    Args:
        kl: See `measured_kl`, [B].
        coefficient: The β that the batch pays.
        target: What the controller steers the mean to, nats; None: β is fixed.
    """
    found = {
        "kl/reference_mean": float(kl.mean()),
        "kl/reference_max": float(kl.max()),
        "kl/reference_std": float(kl.std(correction=0)),
        "kl/coefficient": coefficient,
        "reward/kl_penalty": coefficient * float(kl.mean()),
    }
    return found if target is None else found | {"kl/target": target}


def reward_metrics(batch: ExperienceBatch, mark_coefficient: float = 0.0) -> dict[str, float]:
    """Return the distribution of a batch's scores, and what the reward model's own go with.

    An incomplete response has the fixed score of one without its cut: PPO trains on it, so it is
    among the scores, but it says nothing of the reward model.

    Args:
        batch: The messages.
        mark_coefficient: What a token is paid for its mark value.
    """
    scores = torch.tensor([each.score.value for each in batch.rollouts])
    low, high = torch.quantile(scores, torch.tensor([0.05, 0.95])).tolist()
    return {
        "reward/score_mean": float(scores.mean()),
        "reward/score_std": float(scores.std(correction=0)),
        "reward/score_p05": low,
        "reward/score_p95": high,
        "reward/version": float(batch.reward_version),
        **_mark_metrics(batch, mark_coefficient),
        **_judged_metrics([each for each in batch.rollouts if each.rollout.is_complete]),
    }


def _mark_metrics(batch: ExperienceBatch, coefficient: float) -> dict[str, float]:
    """Return what the marks of a response pay it, where they are paid."""
    if coefficient == 0:
        return {}
    values = [sum(each.mark_values) for each in batch.rollouts]
    return {"reward/mark_pay": coefficient * sum(values) / len(values)}


def _judged_metrics(judged: Sequence[ScoredRollout]) -> dict[str, float]:
    """Return how far the heads differ and how scores go with length, where the model judged."""
    if not judged:
        return {}
    scores = torch.tensor([each.score.value for each in judged])
    heads = torch.tensor([each.score.heads for each in judged])
    lengths = torch.tensor([float(each.rollout.num_kept) for each in judged])
    metrics = {}
    if heads.shape[1] > 1:
        metrics["reward/ensemble_std"] = float(heads.std(dim=1, correction=0).mean())
    if float(lengths.std(correction=0)) > 0 and float(scores.std(correction=0)) > 0:
        pair = torch.stack([lengths, scores])
        metrics["reward/length_correlation"] = float(torch.corrcoef(pair)[0, 1])
    return metrics


def staleness_metrics(
    batch: ExperienceBatch,
    responses: Responses,
    evaluation: Evaluation,
    importance_weight_cap: float,
) -> dict[str, float]:
    """Return how old a batch is, and how far its sampler was from the trainer.

    The mismatch is measured on responses sampled from their first token on under the version the
    learner holds, where nothing but arithmetic can differ. Weights change in flight: what follows
    in a response that began under an older version was sampled under the newer one, but the engine
    still attends to keys and values of the older, and no version by itself gives such a token the
    same probability. It is absent when there are no such responses.

    Args:
        batch: The messages.
        responses: The same as tensors.
        evaluation: What the models say of it.
        importance_weight_cap: The weights' bound.
    """
    mask = responses.mask.bool()
    lags = [evaluation.version - each.rollout.oldest_version for each in batch.rollouts]
    differences = evaluation.proximal_logprobs - responses.behavior_logprobs
    weights = differences.exp()[mask]
    metrics = {
        "staleness/policy_lag_mean": sum(lags) / len(lags),
        "staleness/policy_lag_max": float(max(lags)),
        "staleness/importance_weight_mean": float(weights.clamp(max=importance_weight_cap).mean()),
        "staleness/importance_weight_capped": float(
            (weights > importance_weight_cap).float().mean()
        ),
    }
    current = mask & evaluation.current(responses)[:, None]
    if bool(current.any()):
        mismatch = differences.abs()[current]
        metrics["rollout/logprob_mismatch_mean"] = float(mismatch.mean())
        metrics["rollout/logprob_mismatch_max"] = float(mismatch.max())
    return metrics


def check_finite(metrics: Mapping[str, float]) -> None:
    """Raise NotFinite, naming the first, where a metric of a step is NaN or infinite."""
    broken = sorted(name for name, value in metrics.items() if not math.isfinite(value))
    if broken:
        raise NotFinite(f"{broken[0]} of the step is {metrics[broken[0]]}")
