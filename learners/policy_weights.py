"""What of the policy leaves the learner: whole weights, or what adapters add to those of ρ."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from learners.engine import Engine
from learners.policy_model import policy_tensors
from protocol.errors import InputError
from protocol.low_rank import LEFT, RIGHT, SCALING
from protocol.model_folder import tensor_names
from reward_service.adapters import LowRank, is_adapted, low_rank, merged


class PolicyWeights:
    """The policy of an engine, as others take it. Every rank calls every method.

    Args:
        engine: Trains a PolicyModel.
        folder: Of ρ, which those who take adapters alone have too.
        adapters_travel: Whether whoever receives versions adds adapters to ρ by himself.

    Raises:
        InputError: The folder has other names for weights than the model, so that nobody could
            tell which of them an adapter belongs to.
    """

    def __init__(self, engine: Engine, folder: Path, *, adapters_travel: bool) -> None:
        self._engine = engine
        self._model: Any = engine.module.language_model
        self._is_adapted = is_adapted(self._model)
        self._adapters_travel = self._is_adapted and adapters_travel
        self._stored_names: dict[str, str] = {}
        if self._adapters_travel:
            names = (
                f"{name}.weight"
                for name, each in self._model.named_modules()
                if hasattr(each, "base_layer")
            )
            self._stored_names = _stored_names(names, folder, self._model.base_model_prefix)

    def to_publish(self) -> dict[str, Tensor] | None:
        """Return a version as actors take it on rank 0, None elsewhere; see `protocol.low_rank`."""
        if not self._adapters_travel:
            return self.whole()
        tensors = self._engine.full_tensors(with_constant=False)
        if tensors is None:
            return None
        found = low_rank(self._model, policy_tensors(tensors))
        return written({self._stored_names[name]: added for name, added in found.items()})

    def whole(self) -> dict[str, Tensor] | None:
        """Return all weights of π by Hugging Face name on rank 0, None elsewhere."""
        return self._own(self._engine.full_tensors())

    def averaged(self) -> dict[str, Tensor] | None:
        """Return `whole` of the average of π's versions; None too where none is kept."""
        return self._own(self._engine.averaged_tensors())

    def _own(self, tensors: dict[str, Tensor] | None) -> dict[str, Tensor] | None:
        if tensors is None:
            return None
        own = policy_tensors(tensors)
        return merged(self._model, own) if self._is_adapted else own


def written(added: dict[str, LowRank]) -> dict[str, Tensor]:
    """Return what adapters add as the tensors of `protocol.low_rank`."""
    scaling = next(iter(added.values())).scaling
    tensors = {SCALING: torch.tensor(scaling, dtype=torch.float64)}
    for name, each in added.items():
        tensors[f"{name}{LEFT}"] = each.left.contiguous()
        tensors[f"{name}{RIGHT}"] = each.right.contiguous()
    return tensors


def _stored_names(names: Iterable[str], folder: Path, prefix: str) -> dict[str, str]:
    """Return how a folder calls the weights that a model calls so.

    Those of a model without its head are stored without the prefix that it has in one with a head.
    """
    stored, found = tensor_names(folder), {}
    for name in names:
        known = [each for each in (name, name.removeprefix(f"{prefix}.")) if each in stored]
        if not known:
            raise InputError(
                f"{folder} holds no weight {name!r}, which has an adapter: save the model again "
                "with this version of transformers"
            )
        found[name] = known[0]
    return found
