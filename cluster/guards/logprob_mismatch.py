"""Sampler against trainer: the same weights must give the same log-probabilities.

Looked at on responses of lag 0, sampled whole under the very version that the step starts from.
A difference there is arithmetic, or weights that are not those they are said to be.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import Field

from cluster.guards.settings import GuardSettings
from cluster.guards.verdict import Verdict
from protocol.settings import Count

NAME = "logprob_mismatch"


class LogprobMismatchConfig(GuardSettings):
    """How far the two may differ, and for how long."""

    most_nats: float = Field(default=0.1, gt=0, le=1e3)
    """Mean |log π_behaviour − log π_prox| of a batch's responses of lag 0. In float32 it is some
    1e-6; a policy one PPO step older differs by 0.1 to 0.3 (its `policy/approx_kl` is half the
    square). [own]"""
    rounding_factor: float = Field(default=3.0, ge=1, le=1e3)
    """As many times `rollout/rounding_mean` is allowed, where that is more: in bfloat16 a small
    language model rounds by 0.05 nats a token, and a sound sampler differs by as much. [own]"""
    num_batches: Count = 2
    """Batches in a row above it, of those that have such responses. [own]"""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogprobMismatchState:
    """Batches in a row that were above the bound."""

    num_above: int = 0


def judge(
    config: LogprobMismatchConfig, state: LogprobMismatchState, metrics: Mapping[str, float]
) -> tuple[LogprobMismatchState, Verdict | None]:
    """Take a step's metrics, of which two are read; either may be absent.

    They are `rollout/logprob_mismatch_mean` and `rollout/rounding_mean`.
    """
    mean = metrics.get("rollout/logprob_mismatch_mean")
    if mean is None:
        return state, None
    rounding = metrics.get("rollout/rounding_mean", 0.0)
    most = max(config.most_nats, config.rounding_factor * rounding)
    if mean <= most:
        return LogprobMismatchState(), None
    state = LogprobMismatchState(num_above=state.num_above + 1)
    if state.num_above < config.num_batches:
        return state, None
    verdict = Verdict(
        guard=NAME,
        reason=f"sampler and trainer differ by {mean:.2f} nats a token under the same policy "
        f"version, in {state.num_above} batches: the engine's weights or arithmetic are others",
        figures={
            "mean": mean,
            "max": metrics.get("rollout/logprob_mismatch_max", mean),
            "rounding": rounding,
            "threshold": most,
            "num_batches": state.num_above,
        },
    )
    return LogprobMismatchState(), verdict
