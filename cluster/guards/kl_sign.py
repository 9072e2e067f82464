"""The sign of the measured KL: its mean is never negative, whatever the policy.

KL(π‖ρ) ≥ 0 (Gibbs' inequality), and a batch's mean of Σ_t (log π − log ρ) has it as expectation
where π is the policy that sampled. A mean significantly below 0 means that the two were swapped,
or that a sign was: as in Ziegler et al. (2019, §4.4), where such a bug ran overnight.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from pydantic import Field

from cluster.guards.settings import GuardSettings
from cluster.guards.verdict import Verdict
from protocol.settings import Count

NAME = "kl_sign"


class KLSignConfig(GuardSettings):
    """When a negative mean is no accident."""

    num_steps: Count = 8
    """Newest steps whose means are pooled. [own]"""
    least_steps: Count = 3
    """Fewer say nothing. [own]"""
    standard_errors: float = Field(default=5.0, ge=1, le=100)
    """The pooled mean must be so many standard errors below 0. Looked at after every step, a normal
    mean of 0 would come that low by accident once in 3 million looks. [own]"""
    margin_nats: float = Field(default=0.1, ge=0, le=1e6)
    """And so far below 0: an engine whose arithmetic is coarser than the trainer's may be off
    by a little, always to one side, while the policy is still ρ. [own]"""


@dataclass(frozen=True, slots=True, kw_only=True)
class KLSignState:
    """The newest steps' means and their variances (of the mean), oldest first."""

    means: tuple[float, ...] = ()
    variances: tuple[float, ...] = ()


def judge(
    config: KLSignConfig, state: KLSignState, metrics: Mapping[str, float], batch_size: int
) -> tuple[KLSignState, Verdict | None]:
    """Take a step's metrics.

    Args:
        config: Thresholds.
        state: As the last call returned it.
        metrics: Of the step: `kl/reference_mean` and `kl/reference_std`.
        batch_size: B, over which both are taken.
    """
    mean, std = metrics.get("kl/reference_mean"), metrics.get("kl/reference_std")
    if mean is None or std is None:
        return state, None
    means = (*state.means, mean)[-config.num_steps :]
    variances = (*state.variances, std**2 / batch_size)[-config.num_steps :]
    state = replace(state, means=means, variances=variances)
    pooled = sum(means) / len(means)
    error = math.sqrt(sum(variances)) / len(variances)
    is_negative = pooled < -max(config.margin_nats, config.standard_errors * error)
    if len(means) < config.least_steps or not is_negative:
        return state, None
    verdict = Verdict(
        guard=NAME,
        reason=f"the measured KL to the reference is {pooled:.2f} ± {error:.2f} nats over "
        f"{len(means)} steps: no KL is negative, so a sign or the two policies are swapped",
        figures={
            "mean": pooled,
            "standard_error": error,
            "num_steps": len(means),
            "threshold": -max(config.margin_nats, config.standard_errors * error),
        },
    )
    return KLSignState(), verdict
