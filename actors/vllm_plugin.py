"""What vLLM runs in each of its processes: our way for weights into an engine core.

vLLM finds `register` through the entry point `vllm.general_plugins` and calls it in each of its
processes, which is how an engine core knows our weight-transfer backend. So this file stays light
at import.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vllm.distributed.weight_transfer.base import (
    WeightTransferEngine,
    WeightTransferInitInfo,
    WeightTransferUpdateInfo,
)

from actors.low_rank import whole_weights
from protocol.low_rank import is_low_rank

if TYPE_CHECKING:
    from torch import Tensor

    from actors.pieces import Assembly

SAFETENSORS_BACKEND = "andon_safetensors"
"""Our weight-transfer backend's name in vLLM's factory."""


def register() -> None:
    """Make our weight-transfer backend known to this vLLM process; called by vLLM, once in each."""
    from vllm.distributed.weight_transfer.factory import WeightTransferEngineFactory

    WeightTransferEngineFactory.register_engine(SAFETENSORS_BACKEND, SafetensorsTransfer)
    if (parent := multiprocessing.parent_process()) is not None:
        # vLLM's engine core outlives a parent that is killed: nothing tells it.
        threading.Thread(target=_die_with, args=(parent.sentinel,), daemon=True).start()


def _die_with(sentinel: int) -> None:
    multiprocessing.connection.wait([sentinel])
    os._exit(1)


@dataclass
class SafetensorsInitInfo(WeightTransferInitInfo):  # type: ignore[misc]
    """Nothing to agree on beforehand: a file, or its pieces, say it all."""


@dataclass
class SafetensorsUpdateInfo(WeightTransferUpdateInfo):  # type: ignore[misc]
    """A version's weights: where they are in a file, or the next piece of one, here."""

    path: str = ""
    piece: bytes = b""


class SafetensorsTransfer(
    WeightTransferEngine[SafetensorsInitInfo, SafetensorsUpdateInfo]  # type: ignore[misc]
):
    """Loads weights in checkpoint format from a safetensors file, or from its pieces in turn.

    Where these hold only what adapters add to ρ, the rest comes from the folder the engine was
    started on.

    With tied embeddings vLLM's CPU build keeps a packed copy of the output head, which only a
    tensor named `lm_head.weight` refreshes: without it the old head stays, silently.
    """

    init_info_cls = SafetensorsInitInfo
    update_info_cls = SafetensorsUpdateInfo
    _assembly: Assembly | None = None
    """The version whose pieces come."""
    _adapters: dict[str, Tensor]
    """All that came of that so far, where it is what adapters add."""

    def init_transfer_engine(self, init_info: SafetensorsInitInfo) -> None:
        """Do nothing: there is no rendezvous."""

    def start_weight_update(self) -> None:
        """Put the layers back into checkpoint layout, ready to load."""
        from vllm.model_executor.model_loader.reload import initialize_layerwise_reload

        self._assembly, self._adapters = None, {}
        initialize_layerwise_reload(self.model)

    def update_weights(self, update_info: dict[str, Any]) -> None:
        """Load. The base class's version then synchronizes an accelerator; a CPU has none."""
        self.receive_weights(self.parse_update_info(update_info))

    def receive_weights(self, update_info: SafetensorsUpdateInfo) -> None:
        """Copy each tensor into the model, of a piece those that end in it."""
        if not update_info.path:
            self._take(update_info.piece)
            return
        from safetensors.torch import load_file

        tensors = load_file(update_info.path)
        self.model.load_weights(
            self._from_folder(tensors) if is_low_rank(tensors.keys()) else tensors.items()
        )

    def _take(self, piece: bytes) -> None:
        from actors.pieces import Assembly

        if self._assembly is None:
            self._assembly = Assembly(piece)
            piece = b""
        found = self._assembly.take(piece)
        if not is_low_rank(self._assembly.names):
            self.model.load_weights(found)
            return
        self._adapters.update(found)
        if self._assembly.is_whole:
            self.model.load_weights(self._from_folder(self._adapters))

    def _from_folder(self, version: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
        """Give whole weights where a version holds only what adapters add to the model's own."""
        import torch

        return whole_weights(
            Path(self.model_config.model),
            version,
            dtype=self.model_config.dtype,
            device=torch.accelerator.current_accelerator() or torch.device("cpu"),
        )

    def finish_weight_update(self) -> None:
        """Repack the layers into the layout the kernels read."""
        from vllm.model_executor.model_loader.reload import finalize_layerwise_reload

        assert self._assembly is None or self._assembly.is_whole, "all pieces come"
        self._assembly, self._adapters = None, {}
        finalize_layerwise_reload(self.model, self.model_config)

    def shutdown(self) -> None:
        """Do nothing: nothing is kept open."""
