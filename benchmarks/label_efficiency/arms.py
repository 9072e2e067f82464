"""What is compared: when people are asked, about what, and what the policy makes of it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from label_queue.config import Mode

NUDGE = 0.05
"""ε. [own; the published value is in no source]"""
PARTICLES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One way of asking."""

    mode: Mode
    selector: str = "uniform"
    num_candidates: int = 4
    """K."""
    nudge: float = 0.0
    is_free: bool = False
    """Whether β stays low, so that the policy goes as far as the reward leads; else it is moved
    until the KL is at its target."""
    kl_target: float = 8.0
    """Nats; where β is moved."""
    first_beta: float = 0.12
    """β before it is moved."""
    is_direct: bool = False
    """Whether the gold score itself is the reward, and nobody is asked."""

    @property
    def name(self) -> str:
        """As results call it, e.g. "online-double_thompson-k2-nudge" or "direct-kl4"."""
        if self.is_direct:
            return f"direct-kl{self.kl_target:g}"
        rest = ("-nudge" if self.nudge else "") + ("-free" if self.is_free else "")
        return f"{self.mode}-{self.selector}-k{self.num_candidates}{rest}"


SELECTORS = (
    "uniform",
    "disagreement",
    "double_thompson",
    "thompson_variance",
    "information_directed",
)
ARMS = {
    arm.name: arm
    for arm in (
        *(Arm(mode=mode, num_candidates=k) for mode in ("offline", "batched") for k in (2, 4)),
        *(
            Arm(mode="online", selector=selector, num_candidates=k, nudge=nudge)
            for selector in SELECTORS
            for k in (2, 4)
            for nudge in (0.0, NUDGE)
        ),
    )
}
"""By name."""
FREE = {arm.name: arm for arm in (Arm(mode=mode, is_free=True) for mode in ("offline", "online"))}
"""Arms in which the reward may be over-optimised, by name."""
TARGETS = (2.0, 4.0, 8.0)
DIRECT = {
    arm.name: arm
    for arm in (
        Arm(mode="fixed", is_direct=True, kl_target=kl, first_beta=1 / math.sqrt(2 * kl))
        for kl in TARGETS
    )
}
"""Arms whose reward is the gold score itself, by name.

β starts where a normal reward of variance 1 has the KL at its target: ρ reweighted by e^{r/β} has
KL 1/(2β²). In so few episodes the controller moves it by a factor of three at most.
"""
BASELINE = "offline-uniform-k4"
"""The arm whose gold at the largest budget the others are to reach with fewer labels."""
