"""The coefficient β that keeps the policy near its reference."""

from __future__ import annotations

from learners.config import KLConfig


class KLController:
    """β, adapted after every step or fixed.

    Args:
        config: Kind, start and target.
    """

    def __init__(self, config: KLConfig) -> None:
        self._config = config
        self._coefficient = config.coefficient

    @property
    def coefficient(self) -> float:
        """What the steps so far have made of β: that of a batch whose KL is on target."""
        return self._coefficient

    @property
    def target(self) -> float | None:
        """KL that it steers to, nats a response; None: β is fixed."""
        return None if self._config.kind == "fixed" else self._config.target

    def for_batch(self, kl: float) -> float:
        """Return the β that a batch pays: β·(1 + proportional·e), e = clip(KL/target − 1, ±1).

        The proportional term of Stooke et al. (2020), "Responsive Safety in Reinforcement Learning
        by PID Lagrangian Methods", where `update` is the integral one. It follows the KL at
        once and holds nothing, so a run that is resumed has it too. A fixed β stays.

        Args:
            kl: As in `update`, of this batch.
        """
        if self._config.kind == "fixed":
            return self._coefficient
        return self._coefficient * (1.0 + self._config.proportional * self._error(kl, bound=1.0))

    def restore(self, coefficient: float) -> None:
        """Go back to where the coefficient stood."""
        self._coefficient = coefficient

    def update(self, kl: float, episodes: int) -> None:
        """Move β after a step: e = clip(KL/target − 1, ±0.2), β ← β·(1 + e·episodes/horizon).

        Ziegler et al. (2019), released code. A fixed β stays.

        Args:
            kl: Batch mean of Σ_t (log π − log ρ), nats.
            episodes: In the step, e.g. 128.
        """
        config = self._config
        if config.kind == "fixed":
            return
        error = self._error(kl, bound=config.max_error)
        factor = 1.0 + error * episodes / config.horizon_episodes
        assert factor > 0, "KLConfig.check_batch has refused such a batch"
        self._coefficient *= factor

    def _error(self, kl: float, *, bound: float) -> float:
        return min(max(kl / self._config.target - 1.0, -bound), bound)
