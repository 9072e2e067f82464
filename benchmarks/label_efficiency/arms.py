"""What is compared: when people are asked, about what, and what the policy makes of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from label_queue.config import LabelsConfig, Mode

NUDGE = 0.05
"""ε. [own; the published value is in no source]"""
PARTICLES = 20
REFITS = 6
INITIAL_SHARE = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """How far the policy that draws is from the one in training."""

    lag: int | None = 0
    """η, versions that it is behind; None: the actors draw twice as fast as the learner trains and
    nothing is refused, so that a batch waits as many steps as it was drawn after."""
    noise: float = 0.0
    """σ of a normal number added to each of its logits, anew for each token: an engine whose
    arithmetic is another."""
    tells_noise: bool = True
    """Whether the log-probabilities it tells are those it drew by; else those without noise, as
    where a trainer computes them anew and takes them for the sampler's."""

    def version(self, newest: int) -> int:
        """Return the version that draws where `newest` is in training."""
        return newest // 2 if self.lag is None else max(0, newest - self.lag)


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
    kl_target: float | None = None
    """Nats, where β is moved; None: the task's."""
    is_direct: bool = False
    """Whether the gold score itself is the reward, and nobody is asked."""
    objective: Literal["decoupled", "naive"] = "decoupled"
    drawn: Drawn = Drawn()
    """How its responses come about."""
    refits: int = REFITS
    """Fits from scratch, where labels come while the policy trains."""
    initial_share: float = INITIAL_SHARE
    """Share of the labels that are asked for before the first step, or in the first round."""
    mark_share: float = 0.0
    """Share of the words that the gold score turns on that labelers mark; 0: nobody marks."""
    mark_coefficient: float = 0.0
    """What PPO pays a token for its mark value, where there are marks."""

    @property
    def name(self) -> str:
        """As results call it, e.g. "online-uniform-k2-nudge0.05" or "direct-kl4-lag2"."""
        if self.is_direct:
            held = "free" if self.kl_target is None else f"kl{self.kl_target:g}"
            return f"direct-{held}{self._how_drawn}"
        rest = (f"-nudge{self.nudge:g}" if self.nudge else "") + ("-free" if self.is_free else "")
        if self.refits != REFITS:
            rest += f"-refits{self.refits}"
        if self.initial_share != INITIAL_SHARE:
            rest += f"-initial{self.initial_share:g}"
        if self.mark_share:
            rest += f"-marks{self.mark_coefficient:g}"
        return f"{self.mode}-{self.selector}-k{self.num_candidates}{rest}"

    @property
    def _how_drawn(self) -> str:
        parts: list[str] = [] if self.objective == "decoupled" else [self.objective]
        if self.drawn.lag != 0:
            parts.append("unbounded" if self.drawn.lag is None else f"lag{self.drawn.lag}")
        if self.drawn.noise:
            parts.append(f"noise{self.drawn.noise:g}")
        if not self.drawn.tells_noise:
            parts.append("unweighed")
        return "".join(f"-{part}" for part in parts)


SELECTORS = (
    "uniform",
    "disagreement",
    "double_thompson",
    "thompson_variance",
    "information_directed",
)
OFTEN = Arm(mode="online", refits=LabelsConfig().refits, initial_share=1 / 16)
"""Refitted as often as Andon does by itself, and asking little of a policy that has not moved."""
ARMS = {
    arm.name: arm
    for arm in (
        OFTEN,
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
    arm.name: arm for arm in (Arm(mode="fixed", is_direct=True, kl_target=kl) for kl in TARGETS)
}
"""Arms whose reward is the gold score itself, by name."""
AFFORDED = Arm(mode="fixed", is_direct=True, kl_target=16.0)
"""The direct arm of the task beyond ρ's support."""
LAGS = (0, 1, 2, 4, 8, None)
NOISES = (0.25, 0.5, 1.0)
STALE = {
    (objective, lag, is_free): Arm(
        mode="fixed",
        is_direct=True,
        is_free=is_free,
        kl_target=None if is_free else 8.0,
        objective=objective,
        drawn=Drawn(lag=lag),
    )
    for objective in ("decoupled", "naive")
    for lag in LAGS
    for is_free in (False, True)
}
"""Direct arms by objective, lag, and whether hardly any KL is paid."""
MISMATCHED = {
    (is_weighed, noise): Arm(
        mode="fixed",
        is_direct=True,
        kl_target=8.0,
        drawn=Drawn(noise=noise, tells_noise=is_weighed),
    )
    for is_weighed in (True, False)
    for noise in NOISES
}
"""Direct arms by whether the ratio to the sampler weighs tokens, and by the sampler's noise."""
MARK_SHARE = 0.5
MARK_COEFFICIENTS = (0.0, 0.1, 0.3)
MARKED = {
    coefficient: Arm(mode="offline", mark_share=MARK_SHARE, mark_coefficient=coefficient)
    for coefficient in MARK_COEFFICIENTS
}
"""Arms whose labelers mark words, by what PPO pays for them; offline, so that what is compared in
a run of a seed is what `BASELINE` compares, to the token."""
BASELINE = "offline-uniform-k4"
"""The arm whose gold at the largest budget the others are to reach with fewer labels."""
EVERY = {
    **ARMS,
    **FREE,
    **DIRECT,
    **{a.name: a for a in (*STALE.values(), *MISMATCHED.values(), *MARKED.values(), AFFORDED)},
}
"""All arms by name."""
