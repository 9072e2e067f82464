"""A prompt source that knows how far it was read."""

from __future__ import annotations

from protocol.messages import Prompt
from protocol.ports import PromptSource


class PromptCursor:
    """A `protocol.ports.PromptSource` with its place in the stream.

    Args:
        source: At its beginning.
    """

    def __init__(self, source: PromptSource) -> None:
        self._source = source
        self.num_drawn = 0
        """Prompts drawn or passed over since the beginning."""

    def draw(self, count: int) -> list[Prompt]:
        """Return the next `count` prompts."""
        drawn = self._source.draw(count)
        self.num_drawn += len(drawn)
        return drawn

    def skip(self, count: int) -> None:
        """Pass over the next `count` prompts."""
        self._source.skip(count)
        self.num_drawn += count
