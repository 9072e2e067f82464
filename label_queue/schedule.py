"""How many labels are wanted by when: l(n), and the points at which the reward is refitted."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from label_queue.config import LabelsConfig, Mode


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelSchedule:
    """Labels wanted by episode n, as a pure function.

    quadratic   l(n) = N₀ + (N − N₀)·(1 − (1 − n/N_π)²)              Ziegler et al. 2019, §2.3
    hyperbolic  l(n) = N₀ + (N − N₀)·log(1 + n/c) / log(1 + N_π/c)   the integral of the rate
                c/(n + c) of Christiano et al. 2017
    """

    total: int
    """N, labels wanted over the run."""
    initial: int
    """N₀, labels wanted before RL; equal to N when all come before it."""
    num_episodes: int
    """N_π, episodes of the whole run."""
    refits: int
    shape: Literal["quadratic", "hyperbolic"] = "quadratic"
    hyperbolic_episodes: int = 2_000
    """c of the hyperbolic form."""

    @classmethod
    def of(cls, config: LabelsConfig, *, num_episodes: int, mode: Mode) -> LabelSchedule:
        """Build the run's schedule; offline means that N₀ = N."""
        return cls(
            total=config.total,
            initial=config.total if mode == "offline" else config.initial,
            num_episodes=num_episodes,
            refits=config.refits,
            shape=config.shape,
            hyperbolic_episodes=config.hyperbolic_episodes,
        )

    def wanted(self, episodes: int) -> int:
        """Return ⌊l(n)⌋ for n = `episodes`, from N₀ at 0 to N at N_π and after."""
        progress = min(episodes / self.num_episodes, 1.0)
        if self.shape == "quadratic":
            share = 1.0 - (1.0 - progress) ** 2
        else:
            span = self.num_episodes / self.hyperbolic_episodes
            share = math.log1p(progress * span) / math.log1p(span)
        # Rounding before the floor keeps 0.1 + 0.2 from costing a label.
        return self.initial + math.floor(round((self.total - self.initial) * share, 6))

    @property
    def interval(self) -> float:
        """Labels between two refits; 0 when all labels come before RL."""
        return (self.total - self.initial) / self.refits

    @property
    def refit_points(self) -> tuple[int, ...]:
        """Label counts at which a refit from scratch is due, rising.

        The first is N₀; the others follow at even spacing and end one interval before N, as a fit
        at N itself would come when the last episode is over.
        """
        points = (self.initial + math.ceil(i * self.interval) for i in range(self.refits))
        return tuple(sorted(set(points)))
