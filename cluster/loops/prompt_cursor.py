"""A prompt source that knows how far it was read, and hears what became of its prompts."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from protocol.messages import Prompt, Rollout
from protocol.ports import ListeningPromptSource, PromptSource
from protocol.text_tree import TreesState


class PromptCursor:
    """A `protocol.ports.PromptSource` with its place in the stream.

    What it is told of responses it hands on to a source that listens.

    Args:
        source: At its beginning.
    """

    def __init__(self, source: PromptSource) -> None:
        self._source = source
        self._listener = source if isinstance(source, ListeningPromptSource) else None
        self.num_drawn = 0
        """Prompts drawn or passed over since the beginning."""

    @property
    def listens(self) -> bool:
        """Whether later prompts are made of responses to earlier ones."""
        return self._listener is not None

    def draw(self, count: int) -> list[Prompt]:
        """Return the next `count` prompts."""
        drawn = self._source.draw(count)
        self.num_drawn += len(drawn)
        return drawn

    def skip(self, count: int) -> None:
        """Pass over the next `count` prompts."""
        self._source.skip(count)
        self.num_drawn += count

    def responded(self, rollouts: Sequence[Rollout]) -> None:
        """See `ListeningPromptSource`."""
        if self._listener is not None:
            self._listener.responded(rollouts)

    def unanswered(self, prompts: Sequence[Prompt]) -> None:
        """See `ListeningPromptSource`."""
        if self._listener is not None:
            self._listener.unanswered(prompts)

    def forget(self, is_left_behind: Callable[[Sequence[int]], bool]) -> None:
        """See `ListeningPromptSource`."""
        if self._listener is not None:
            self._listener.forget(is_left_behind)

    @property
    def trees(self) -> TreesState | None:
        """What a source that listens goes on from; None of another: `num_drawn` says it all."""
        return None if self._listener is None else self._listener.state

    def resume(self, num_drawn: int, trees: TreesState | None) -> None:
        """Go on from what a checkpoint has of it, before anything was drawn by this cursor."""
        if self._listener is None or trees is None:
            self.skip(num_drawn - self.num_drawn)
            return
        self._listener.resume(trees)
        self.num_drawn = num_drawn
