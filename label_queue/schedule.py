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
    rounds      l(n) = N₀ + ⌊(N − N₀)·r/(R − 1)⌋ in round r = ⌊n·R/N_π⌋, from 0: a step function.
                What Ziegler et al. 2019, §4.1 recommend instead of the first
    """

    total: int
    """N, labels wanted over the run; 0 where the reward is fixed and nobody labels."""
    initial: int
    """N₀, labels wanted before RL; equal to N when all come before it."""
    num_episodes: int
    """N_π, episodes of the whole run."""
    refits: int
    shape: Literal["quadratic", "hyperbolic"] = "quadratic"
    hyperbolic_episodes: int = 2_000
    """c of the hyperbolic form."""
    num_rounds: int | None = None
    """R of batched labels; None: labels come all through training, by `shape`."""

    @classmethod
    def of(cls, config: LabelsConfig, *, num_episodes: int, mode: Mode) -> LabelSchedule:
        """Build the run's schedule; offline means that N₀ = N, a fixed reward that both are 0."""
        total = 0 if mode == "fixed" else config.total
        return cls(
            total=total,
            initial=total if mode in ("offline", "fixed") else config.initial,
            num_episodes=num_episodes,
            refits=config.refits,
            shape=config.shape,
            hyperbolic_episodes=config.hyperbolic_episodes,
            num_rounds=config.rounds if mode == "batched" else None,
        )

    def wanted(self, episodes: int) -> int:
        """Return ⌊l(n)⌋ for n = `episodes`, from N₀ at 0 to N at N_π and after."""
        if self.num_rounds is not None:
            return self._wanted_in(self.round_at(episodes))
        progress = min(episodes / self.num_episodes, 1.0)
        if self.shape == "quadratic":
            share = 1.0 - (1.0 - progress) ** 2
        else:
            span = self.num_episodes / self.hyperbolic_episodes
            share = math.log1p(progress * span) / math.log1p(span)
        # Rounding before the floor keeps 0.1 + 0.2 from costing a label.
        return self.initial + math.floor(round((self.total - self.initial) * share, 6))

    def round_at(self, episodes: int) -> int:
        """Return which round n = `episodes` falls in, from 0; a schedule without rounds has one."""
        rounds = self.num_rounds or 1
        return min(episodes * rounds // self.num_episodes, rounds - 1)

    def first_episode(self, number: int) -> int:
        """Return the least n that falls in a round."""
        return -(-number * self.num_episodes // (self.num_rounds or 1))

    @property
    def updates_warmly(self) -> bool:
        """Whether the reward learns between two refits; else it is frozen from one to the next."""
        return self.num_rounds is None and self.initial < self.total

    @property
    def interval(self) -> float:
        """Labels between two refits; 0 when all labels come before RL."""
        spread = self.refits if self.num_rounds is None else self.num_rounds - 1
        return (self.total - self.initial) / spread

    @property
    def refit_points(self) -> tuple[int, ...]:
        """Label counts at which a refit from scratch is due, rising.

        The first is N₀; the others follow at even spacing and end one interval before N, as a fit
        at N itself would come when the last episode is over. Of rounds each ends with one, the last
        at N: it is trained on from then to the end.
        """
        if self.num_rounds is not None:
            return tuple(sorted({self._wanted_in(number) for number in range(self.num_rounds)}))
        points = (self.initial + math.ceil(i * self.interval) for i in range(self.refits))
        return tuple(sorted(set(points)))

    def _wanted_in(self, number: int) -> int:
        """Return l(n) of a round."""
        assert self.num_rounds is not None, "there are no rounds"
        return self.initial + (self.total - self.initial) * number // (self.num_rounds - 1)
