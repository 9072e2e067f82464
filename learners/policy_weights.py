"""What of the policy leaves the learner: whole weights, or what adapters add to those of ρ.

Whole weights are put together one at a time, as they are asked for: no rank has all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from learners.agreement import on_all
from learners.engine import Engine
from learners.language_model import save_language_model
from learners.policy_model import POLICY_PREFIX
from learners.stored_names import StoredNames
from protocol.errors import InputError
from protocol.low_rank import LEFT, RIGHT, SCALING
from protocol.model_folder import tensor_names
from protocol.ports import FolderStore
from reward_service.adapters import LowRank, is_adapted, is_adapters, low_rank, merged
from reward_service.lazy_tensors import LazyTensors
from reward_service.pretrained import load_tokenizer

AVERAGED = "_ema"
"""End of the name of the folder of a policy's average."""


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
        self._folder = folder
        self._model: Any = engine.module.language_model
        self._is_adapted = is_adapted(self._model)
        self._adapters_travel = self._is_adapted and adapters_travel
        self._stored = StoredNames(self._model, tensor_names(folder))
        self._stored_names: dict[str, str] = {}
        if self._adapters_travel:
            names = (
                f"{name}.weight"
                for name, each in self._model.named_modules()
                if hasattr(each, "base_layer")
            )
            self._stored_names = _stored_names(names, folder, self._model.base_model_prefix)

    def to_publish(self) -> LazyTensors:
        """Return a version as actors take it, for all ranks to ask for; see `protocol.low_rank`."""
        if not self._adapters_travel:
            return self.whole()
        found = self._added(self._engine.whole_tensors(with_constant=False))
        own = written({self._stored_names[name]: added for name, added in found.items()})
        return LazyTensors(own, own.__getitem__)

    def whole(self) -> LazyTensors:
        """Return all weights of π by the names of ρ's folder, for all ranks to ask for."""
        return self._own(self._engine.whole_tensors())

    @contextmanager
    def averaged(self) -> Iterator[LazyTensors | None]:
        """Lend `whole` of the average of π's versions; None where none is kept."""
        with self._engine.averaged_tensors() as tensors:
            yield None if tensors is None else self._own(tensors)

    def save(self, folder: Path, config: Any, store: FolderStore | None) -> None:
        """Write π as a Hugging Face folder, and its average beside it, where one is kept.

        Args:
            folder: Where to; that of the average ends in `AVERAGED`.
            config: The model's Hugging Face config.
            store: How this process reaches the folder.

        Raises:
            DiskFull: There is no room for it on rank 0; every rank raises it.
            ResourceError: The disk or the store refuses otherwise.
        """
        self._save(folder, config, store, self.whole())
        with self.averaged() as tensors:
            if tensors is not None:
                beside = folder.with_name(f"{folder.name}{AVERAGED}")
                self._save(beside, config, store, tensors)

    def _save(
        self, folder: Path, config: Any, store: FolderStore | None, tensors: LazyTensors
    ) -> None:
        write = partial(
            save_language_model,
            folder,
            config,
            tokenizer=load_tokenizer(self._folder),
            started_from=self._folder,
            store=store,
        )
        on_all(self._engine, lambda: tensors.taken(write if self._engine.rank == 0 else None))

    def _own(self, tensors: LazyTensors) -> LazyTensors:
        own = tensors.under(POLICY_PREFIX)
        return self._stored.of(merged(own, self._added(tensors)) if self._is_adapted else own)

    def _added(self, tensors: LazyTensors) -> dict[str, LowRank]:
        """Return what adapters add, by plain names, on rank 0; nothing elsewhere."""
        own = tensors.under(POLICY_PREFIX)
        names = [name for name in own if is_adapters(name)]
        found = {name: own[name] for name in names}
        return low_rank(self._model, found) if self._engine.rank == 0 else {}


def written(added: dict[str, LowRank]) -> dict[str, Tensor]:
    """Return what adapters add as the tensors of `protocol.low_rank`; none of nothing."""
    if not added:
        return {}
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
