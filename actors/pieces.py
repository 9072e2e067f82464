"""The engine's end of weights that come in pieces: tensors are put together as their bytes come.

Runs in the engine's own process, which has of a version one piece, and of its tensors those that it
has not taken yet.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection

import torch
from torch import Tensor

from protocol.errors import BundleCorrupt
from protocol.safetensors_header import TORCH_NAMES, tensors_in_turn


class Assembly:
    """The tensors of one safetensors file that was cut into pieces.

    Args:
        header: The first piece, by itself.

    Raises:
        BundleCorrupt: It is no header of a safetensors file.
    """

    def __init__(self, header: bytes) -> None:
        try:
            tensors = tensors_in_turn(header)
        except ValueError as error:
            raise BundleCorrupt(f"weights that come in pieces begin otherwise: {error}") from None
        self.names: Collection[str] = tensors.keys()
        """What its tensors are called."""
        self._left = deque(tensors.items())
        self._filling = torch.empty(0, dtype=torch.uint8)
        self._num_filled = 0

    @property
    def is_whole(self) -> bool:
        """Whether all tensors were given."""
        return not self._left

    def take(self, piece: bytes) -> list[tuple[str, Tensor]]:
        """Return the tensors, by name, of which the last bytes are in the next piece.

        Raises:
            BundleCorrupt: There are more bytes than tensors.
        """
        found = []
        content = memoryview(piece)
        while self._left:
            name, stored = self._left[0]
            if not self._num_filled:
                self._filling = torch.empty(stored.num_bytes, dtype=torch.uint8)
            part = content[: stored.num_bytes - self._num_filled]
            reached = self._num_filled + len(part)
            self._filling.numpy().data[self._num_filled : reached] = part
            content, self._num_filled = content[len(part) :], reached
            if reached < stored.num_bytes:
                break
            dtype: torch.dtype = getattr(torch, TORCH_NAMES[stored.dtype])
            found.append((name, self._filling.view(dtype).view(stored.shape)))
            self._left.popleft()
            self._num_filled = 0
        if len(content):
            raise BundleCorrupt(
                f"weights came with {len(content):,} bytes that belong to no tensor"
            )
        return found
