"""The reference policy ρ beside the policy in training: a second model, or the base of adapters.

Shapes: B sequences, T response tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from learners.config import DeepSpeedConfig
from learners.deepspeed_settings import ended
from learners.engine import Engine
from learners.parting import Parting
from learners.policy_model import PolicyModel
from reward_service.adapters import without_adapters
from reward_service.arithmetic import put_weights_in
from reward_service.pretrained import load_causal_model

Inputs = Sequence[tuple[Tensor, ...]]
"""Arguments of `PolicyModel.forward`, for each pass."""


class FrozenCopy:
    """ρ as a model of its own, on the engine's device; under ZeRO-3 spread over the ranks.

    Args:
        folder: Of ρ.
        engine: Of the policy.
        config: Of that engine.
    """

    def __init__(self, folder: Path, engine: Engine, config: DeepSpeedConfig) -> None:
        parting = Parting(config)
        with parting.loading():
            language_model = load_causal_model(folder)
        model = PolicyModel(language_model)
        self._spread = parting.frozen(model) if parting.is_on else None
        if self._spread is None:
            put_weights_in(model.requires_grad_(False), getattr(torch, config.dtype))
            model.to(engine.device)
        self._model: Any = model
        self._passes = engine.passes

    def move_to(self, device: torch.device) -> None:
        """Have its weights on another device from here on; not under ZeRO-3."""
        self._model.to(device)

    def close(self) -> None:
        """Let go of the model. May be called twice."""
        if self._spread is not None:
            ended(self._spread)
        self._spread = self._model = None

    def logprobs(self, inputs: Inputs) -> list[Tensor]:
        """Return log ρ of response tokens, [B, T] of each pass. A collective under ZeRO-3."""
        return self._passes.each([partial(_logprobs, self._model, each) for each in inputs])


class BaseUnderAdapters:
    """ρ as what the policy's adapters are added to: no second model.

    Args:
        engine: Of the policy.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def move_to(self, device: torch.device) -> None:
        """Do nothing: its weights are the engine's, and go with them."""

    def close(self) -> None:
        """Do nothing: the model is the policy's."""

    def logprobs(self, inputs: Inputs) -> list[Tensor]:
        """Return log ρ, [B, T] of each pass. A collective under ZeRO-3.

        Meanwhile nobody may ask the policy, in no thread: it has no adapters.
        """
        module = self._engine.module
        with without_adapters(module):
            return self._engine.passes.each([partial(_logprobs, module, each) for each in inputs])


@torch.no_grad()
def _logprobs(model: Callable[..., tuple[Tensor, ...]], inputs: tuple[Tensor, ...]) -> Tensor:
    return model(*inputs)[0]


Reference = FrozenCopy | BaseUnderAdapters
