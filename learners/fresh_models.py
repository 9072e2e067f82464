"""The reward models that fits start from: ρ with heads that are new."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from learners.config import DeepSpeedConfig
from learners.parting import Parting
from reward_service.adapters import sharing
from reward_service.base_weights import base_weights
from reward_service.config import RewardModelConfig
from reward_service.forward import check_forward
from reward_service.pretrained import load_backbone
from reward_service.reward_model import RewardModel


class FreshModels:
    """Makes the same model again and again.

    Where ρ's own weights stay as they are all of them have these in common, which are loaded once:
    the live model and a refit beside it take the memory of one. Not under ZeRO-3, where each is
    taken apart as it is loaded.

    Args:
        policy_path: ρ, a Hugging Face folder.
        config: Of the reward model.
        seed: Of heads and adapters.
        engine: Of those that will train them.
        named: How the run's own node names ρ's folder, where it is another.
    """

    def __init__(
        self,
        policy_path: Path,
        config: RewardModelConfig,
        seed: int,
        engine: DeepSpeedConfig,
        named: Path | None = None,
    ) -> None:
        self._named = named
        self._policy_path = policy_path
        self._config = config
        self._seed = seed
        self._parting = Parting(engine)
        self._shares = config.has_base and not self._parting.is_on
        self._shared: PreTrainedModel | None = None

    def draw(self, *, is_checked: bool = False) -> RewardModel:
        """Return a new model, bit for bit the one before.

        Args:
            is_checked: Whether the architecture is tried as `check_forward` does.

        Raises as `RewardModel.from_reference` does, and InputError where it is refused.
        """
        backbone = self._shared
        if backbone is None:
            with self._parting.loading():
                backbone = load_backbone(self._policy_path, self._config.layers)
            if is_checked:
                with self._parting.running(backbone):
                    check_forward(backbone, self._policy_path)
        if self._shares:
            self._shared = backbone
            backbone = sharing(backbone, backbone.parameters())
        generator = torch.Generator().manual_seed(self._seed)
        return RewardModel.from_reference(self._policy_path, self._config, generator, backbone)

    def outlined(self, trained: Any) -> RewardModel:
        """Return what says all of a reward model but its weights, which take no memory.

        Args:
            trained: A model of these, in an engine.
        """
        with torch.device("meta"):
            model = RewardModel.from_config(trained.backbone.config, self._config)
        model.gain, model.bias = trained.gain.float().cpu(), trained.bias.float().cpu()
        if self._config.has_base:
            model.base = base_weights(self._policy_path, self._named)
        return model
