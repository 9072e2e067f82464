"""Whether this process has the device that its config asks for."""

from __future__ import annotations

from actors.config import RolloutConfig
from protocol.errors import ConfigError


def check_device(config: RolloutConfig, *, rests: bool) -> None:
    """Refuse what takes a GPU where PyTorch can use none.

    Args:
        config: Of the rollout actors.
        rests: Whether the engine takes turns with the learner.

    Raises:
        ConfigError: There is none; says which key asks for it, and what else will do.
    """
    import torch

    if torch.cuda.is_available():
        return
    if config.goes_by_device:
        raise ConfigError(
            f'rollouts.weight_transport = "{config.weight_transport}" needs a CUDA '
            'device and this machine has none: use "shared_memory" or "object_store"'
        )
    if rests:
        raise ConfigError(
            'cluster.colocation = "turns" needs a CUDA device, whose memory vLLM can give '
            'back, and this machine has none: use "beside"'
        )
