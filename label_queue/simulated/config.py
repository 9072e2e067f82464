"""How a simulated labeler judges. Parameters after B-Pref (Lee et al. 2021)."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class LabelerProfile(BaseModel):
    """One simulated labeler."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    beta: float = Field(default=1.0, ge=0)
    """Rationality: choices follow softmax(beta × utility). 0 chooses blindly."""
    gamma: float = Field(default=1.0, gt=0, le=1)
    """Myopia: a clause n clauses before the last counts gamma^n. 1 remembers everything."""
    eps_mistake: float = Field(default=0.0, ge=0, le=1)
    """Probability that the answer slips: another candidate, or the ranking reversed."""
    eps_skip: float = Field(default=0.0, ge=0, le=1)
    """Probability of passing on a task."""
    eps_equal: float = Field(default=0.0, ge=0)
    """Candidates whose utilities all lie this close are called a tie."""
    position_bias: float = 0.0
    """Added to the logit of the candidate shown first."""
    drift: float = Field(default=0.0, ge=0)
    """Fatigue: after n labels beta has become beta × exp(−drift × n)."""
    is_adversarial: bool = False
    """Whether the worst is preferred to the best."""
    adversarial_after: int | None = Field(default=None, ge=0)
    """Labels given honestly before the worst is preferred to the best; None: never."""
    seconds_per_label: float = Field(default=1.0, ge=0)
    """Mean time spent on a task; single times lie within half of it on both sides."""
    seed: int = 0
