"""The reference policy ρ beside the policy in training: a second model, or the base of adapters.

Shapes: B sequences, T response tokens.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from learners.engine import Engine
from learners.policy_model import PolicyModel
from reward_service.adapters import without_adapters
from reward_service.pretrained import load_causal_model


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

    @torch.no_grad()
    def logprobs(self, *inputs: Tensor) -> Tensor:
        """Return log ρ of response tokens, [B, T]; arguments as of `PolicyModel.forward`."""
        logprobs: Tensor = self._model(*inputs)[0]
        return logprobs


class BaseUnderAdapters:
    """ρ as what the policy's adapters are added to: no second model.

    Args:
        engine: Of the policy.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @torch.no_grad()
    def logprobs(self, *inputs: Tensor) -> Tensor:
        """Return log ρ, [B, T]. A collective under ZeRO-3."""
        with without_adapters(self._engine.module):
            logprobs: Tensor = self._engine.module(*inputs)[0]
        return logprobs


Reference = FrozenCopy | BaseUnderAdapters
