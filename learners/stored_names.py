"""A model's weights as its folder has them, where the library holds them otherwise.

The library may call a weight by another name than the files of a published model do, or hold in one
tensor what lies there in many, as a layer's experts. Engines read what the files have: a name that
they do not know they pass over, and go on with the old weight.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from torch import Tensor
from transformers.core_model_loading import revert_weight_conversion

from reward_service.lazy_tensors import LazyTensors, outline


class StoredNames:
    """Turns the tensors of one model into those of the folder it was loaded from.

    Args:
        model: As the library loaded it.
        stored: Names of the tensors in the folder.
    """

    def __init__(self, model: Any, stored: Collection[str]) -> None:
        self._model = model
        self._stored = stored
        self._known: tuple[dict[str, Tensor], dict[str, str]] | None = None
        """Outlines by the folder's names, and of which tensor each is; they stay the same."""

    def of(self, tensors: LazyTensors) -> LazyTensors:
        """Return all tensors by the folder's names, for all ranks to ask for.

        What becomes several is made once, and what of it is not yet asked for is kept meanwhile.

        Args:
            tensors: The model's, by its own names, adapters merged.
        """
        outlines, sources = self._known or self._looked_up(tensors.outlines)
        self._known = outlines, sources
        waiting: dict[str, dict[str, Tensor]] = {}

        def make(own: str) -> Tensor:
            name = sources[own]
            if name not in waiting:
                whole = tensors[name]
                # Of ranks that take nothing the tensor is empty.
                is_there = whole.shape == tensors.outlines[name].shape
                waiting[name] = (
                    self._parts(name, whole)
                    if is_there
                    else {each: whole for each, source in sources.items() if source == name}
                )
            part = waiting[name].pop(own)
            if not waiting[name]:
                del waiting[name]
            return part.contiguous()

        return LazyTensors(outlines, make)

    def _looked_up(self, whole: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, str]]:
        outlines: dict[str, Tensor] = {}
        sources: dict[str, str] = {}
        for name, each in whole.items():
            for own, part in self._parts(name, each).items():
                outlines[own], sources[own] = outline(part), name
        return outlines, sources

    def _parts(self, name: str, tensor: Tensor) -> dict[str, Tensor]:
        """Return what a tensor is in the folder, where all of that is there; else itself.

        A name that lacks the prefix of a model without a head is left: engines know both.
        """
        if name in self._stored or self._without_prefix(name) in self._stored:
            return {name: tensor}
        parts: dict[str, Tensor] = revert_weight_conversion(self._model, {name: tensor})
        return parts if parts.keys() <= set(self._stored) else {name: tensor}

    def _without_prefix(self, name: str) -> str:
        return name.removeprefix(f"{self._model.base_model_prefix}.")
