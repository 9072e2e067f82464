"""The actors' end of adapters that travel alone: added to the weights of the model's folder.

Runs in the engine's own process, which has the folder: a version of some megabytes becomes whole
weights where they are wanted. See `protocol.low_rank` for what is sent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from protocol.errors import InputError
from protocol.low_rank import LEFT, RIGHT, SCALING
from protocol.model_folder import tensor_names, weight_files

if TYPE_CHECKING:
    import torch
    from torch import Tensor


def whole_weights(
    folder: Path,
    version: Mapping[str, Tensor],
    *,
    dtype: torch.dtype,
    device: torch.device,
) -> Iterator[tuple[str, Tensor]]:
    """Give all weights of a folder by name, what a version adds to some of them added.

    The sum is made in float32, on the device, and rounded to `dtype`; other weights are given as
    they lie there.

    Args:
        folder: Of ρ.
        version: Tensors as `protocol.low_rank` describes them.
        dtype: Of the engine's weights.
        device: Of the engine.

    Raises:
        InputError: The version adds to a weight that the folder does not hold.
    """
    adapted = {name.removesuffix(LEFT) for name in version if name.endswith(LEFT)}
    if strange := adapted - tensor_names(folder):
        raise InputError(
            f"{folder} holds no weight {min(strange)!r}, to which a policy version adds: the "
            "engine was started on another model than the learner"
        )
    return _summed(folder, version, adapted, dtype, device)


def _summed(
    folder: Path,
    version: Mapping[str, Tensor],
    adapted: set[str],
    dtype: torch.dtype,
    device: torch.device,
) -> Iterator[tuple[str, Tensor]]:
    from safetensors import safe_open

    scaling = version[SCALING].item()
    for path in weight_files(folder):
        with safe_open(path, "pt") as file:
            for name in file.keys():  # noqa: SIM118 -- no mapping
                weight = file.get_tensor(name)
                if name in adapted:
                    left, right = (
                        version[f"{name}{end}"].to(device).float() for end in (LEFT, RIGHT)
                    )
                    added = scaling * (left @ right)
                    weight = (weight.to(device).float() + added).to(dtype)
                yield name, weight
