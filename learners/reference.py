"""The reference policy ρ beside the policy in training: a second model, or the base of adapters.

Shapes: B sequences, T response tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from learners.engine import Engine
from learners.policy_model import PolicyModel
from reward_service.adapters import without_adapters
from reward_service.pretrained import load_causal_model

Inputs = Sequence[tuple[Tensor, ...]]
"""Arguments of `PolicyModel.forward`, for each pass."""


class FrozenCopy:
    """ρ as a model of its own, on the engine's device.

    Args:
        folder: Of ρ.
        engine: Of the policy.
        dtype: Of its weights.
    """

    def __init__(self, folder: Path, engine: Engine, dtype: torch.dtype) -> None:
        model = PolicyModel(load_causal_model(folder))
        self._model = model.requires_grad_(False).to(engine.device, dtype)
        self._passes = engine.passes

    def move_to(self, device: torch.device) -> None:
        """Have its weights on another device from here on."""
        self._model.to(device)

    def logprobs(self, inputs: Inputs) -> list[Tensor]:
        """Return log ρ of response tokens, [B, T] of each pass."""
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
