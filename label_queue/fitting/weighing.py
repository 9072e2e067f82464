"""Finding the labelers' reliabilities where it holds up nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Protocol

from label_queue.folds.dataset import as_comparisons
from label_queue.folds.view import LedgerView
from label_queue.quality.reliability import Judgement, judgement


class Weigher(Protocol):
    """Says how reliable labelers are. Whoever does it says the same, see `judgement`."""

    async def weigh(
        self, view: LedgerView, seqs: Sequence[int], gold: Mapping[str, tuple[int, int]]
    ) -> Judgement:
        """Return what some labels say of everybody who gave any.

        Args:
            view: The ledger.
            seqs: The labels by which they are judged, by their revisions' numbers, rising; see
                `quality.reliability.rests_on`.
            gold: Right and wrong gold answers by labeler.

        Raises:
            QueueClosed: It was closed meanwhile.
        """
        ...

    async def close(self) -> None:
        """Let go of what it has. Idempotent."""
        ...


class WeighingThread:
    """The `Weigher` of this process, beside its event loop."""

    async def weigh(
        self, view: LedgerView, seqs: Sequence[int], gold: Mapping[str, tuple[int, int]]
    ) -> Judgement:
        """See `Weigher.weigh`."""

        def found() -> Judgement:
            return judgement(as_comparisons(view.queries, view.read_answers(seqs)), gold)

        return await asyncio.to_thread(found)

    async def close(self) -> None:
        """See `Weigher.close`: it has nothing."""
