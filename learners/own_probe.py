"""What the learner's own weights say of the probe, and how far that moves when it is rounded."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from learners.collate import single
from learners.engine import Engine
from learners.rounding import coarser, rounded_to
from protocol.errors import NotFinite
from protocol.messages import Probe
from reward_service.adapters import is_adapted


class OwnProbe:
    """A fixed sequence, of which every version of the policy says how probable it is.

    Args:
        token_ids: [P].
        engine: Of the policy.
        dtype: Of the learner's weights, by name.
        actors_dtype: Of the actors' weights.
    """

    def __init__(
        self, token_ids: Sequence[int], engine: Engine, *, dtype: str, actors_dtype: str
    ) -> None:
        self._sequence = single(token_ids).to(engine.device)
        self._engine = engine
        self._coarser = coarser(dtype, actors_dtype)
        self._moved: tuple[int, float] | None = None
        """The version that was asked last, and how far rounding moves it on average, nats."""

    def ask(self, version: int) -> Probe:
        """Return what the weights say as they stand. A collective under ZeRO-3.

        Raises:
            NotFinite: It is NaN or infinity.
        """
        logprobs = self._logprobs()
        _check(logprobs, f"policy version {version} gives its probe NaN or infinity")
        rounded = torch.zeros(0)
        if self._coarser is not None:
            with rounded_to(self._coarser, self._engine.module.language_model):
                rounded = self._logprobs()
            name = str(self._coarser).removeprefix("torch.")
            _check(rounded, f"policy version {version} in {name} gives its probe NaN or infinity")
            self._moved = version, float((rounded - logprobs).abs().mean())
        return Probe(
            token_ids=tuple(self._sequence.input_ids[0].tolist()),
            logprobs=tuple(logprobs.tolist()),
            rounded=tuple(rounded.tolist()),
            arrives_whole=not is_adapted(self._engine.module.language_model),
        )

    def rounding_metrics(self, temperatures: Tensor, version: int) -> dict[str, float]:
        """Return how far rounding moves what a version says, if anything is rounded.

        Log-probabilities are differences of logits, which are divided by the temperature. The
        version is asked where another was asked last, as after a restore: a collective then.

        Args:
            temperatures: [B].
            version: The present one.
        """
        if self._coarser is None:
            return {}
        if self._moved is None or self._moved[0] != version:
            self.ask(version)
        assert self._moved is not None, "it was asked"
        mean = self._moved[1] * float(temperatures.reciprocal().mean())
        return {"rollout/rounding_mean": mean}

    @torch.no_grad()
    def _logprobs(self) -> Tensor:
        logprobs: Tensor = self._engine.module(*self._sequence.model_inputs())[0][0]
        return logprobs


def _check(figures: Tensor, words: str) -> None:
    if not bool(figures.isfinite().all()):
        raise NotFinite(words)
