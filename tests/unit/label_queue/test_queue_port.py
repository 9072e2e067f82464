"""The label queue keeps, in process, what it promises the policy loop."""

from __future__ import annotations

from label_queue.queue import LabelQueue
from tests.support.label_queue_contract import LabelQueueContract, SidedQueue
from tests.support.real_queue import LabelSide


class TestLabelQueue(LabelQueueContract, of=LabelQueue):
    async def open(self) -> LabelQueue:
        self._queue = LabelSide().queue
        return self._queue

    async def close(self, queue: SidedQueue) -> None:
        await self._queue.close()
