"""Computing again, in the backward pass, what a forward pass would have to keep."""

from __future__ import annotations

from torch import nn
from transformers import PreTrainedModel

from protocol.errors import ConfigError


def keep_no_activations(module: nn.Module) -> None:
    """Have every transformer in a module keep what enters its layers, and nothing within them.

    The gradients are the same, bit for bit. It puts the module in training mode, without which the
    library keeps everything; nothing else depends on that, since no model here has dropout.

    Raises:
        ConfigError: One of an architecture that the library cannot do this for.
    """
    for part in module.modules():
        if not isinstance(part, PreTrainedModel) or not _is_trained(part):
            continue
        if not part.supports_gradient_checkpointing:
            raise ConfigError(
                f"{type(part).__name__} cannot compute its layers again: "
                "set gradient_checkpointing = false"
            )
        part.gradient_checkpointing_enable(
            {"use_reentrant": False, "preserve_rng_state": False}  # nothing in it draws
        )
    module.train()


def _is_trained(part: nn.Module) -> bool:
    """Return whether any of it is: of what is not, a pass keeps nothing anyway."""
    return any(parameter.requires_grad for parameter in part.parameters())
