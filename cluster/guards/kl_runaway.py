"""A KL far above its target: the penalty does not hold the policy any more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import Field

from cluster.guards.settings import GuardSettings
from cluster.guards.verdict import Verdict
from protocol.settings import Count

NAME = "kl_runaway"


class KLRunawayConfig(GuardSettings):
    """From where on, and for how long."""

    times_target: float = Field(default=3.0, gt=1, le=1e6)
    """Multiple of kl.target, where the coefficient is adaptive. Clean runs of the demo overshoot to
    4 times for a step or two, while the policy first follows a new reward. [own]"""
    limit_nats: float = Field(default=0.0, ge=0, le=1e6)
    """The limit itself, in place of the above; also for a fixed coefficient, which has no target.
    0: none."""
    num_steps: Count = 6
    """Steps in a row above it: three times as many as any clean run of the demo had. [own]"""
    times_limit: float = Field(default=4.0, ge=1, le=1e6)
    """Multiple of the limit at which one step is enough: three times the highest KL that a clean
    run of the demo had; a policy that fell apart in a single step is beyond it. [own]"""


@dataclass(frozen=True, slots=True, kw_only=True)
class KLRunawayState:
    """Steps in a row that were above the limit."""

    num_above: int = 0


def limit_of(config: KLRunawayConfig, target: float, *, is_adaptive: bool) -> float | None:
    """Return the limit in nats; None where there is none."""
    if config.limit_nats > 0:
        return config.limit_nats
    return config.times_target * target if is_adaptive else None


def judge(
    config: KLRunawayConfig,
    state: KLRunawayState,
    metrics: Mapping[str, float],
    limit: float | None,
) -> tuple[KLRunawayState, Verdict | None]:
    """Take a step's metrics, of which `kl/reference_mean` is read."""
    mean = metrics.get("kl/reference_mean")
    if mean is None or limit is None:
        return state, None
    if mean <= limit:
        return KLRunawayState(), None
    state = KLRunawayState(num_above=state.num_above + 1)
    is_far_above = mean > config.times_limit * limit
    if state.num_above < config.num_steps and not is_far_above:
        return state, None
    threshold = config.times_limit * limit if is_far_above else limit
    verdict = Verdict(
        guard=NAME,
        reason=f"the KL to the reference is {mean:.1f} nats, above {threshold:.1f}"
        f"{'' if is_far_above else f' for {state.num_above} steps'}: "
        "the penalty does not hold the policy",
        figures={"mean": mean, "threshold": threshold, "num_steps": state.num_above},
    )
    return KLRunawayState(), verdict
