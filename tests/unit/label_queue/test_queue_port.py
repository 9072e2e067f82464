"""The label queue keeps, in process, what its port promises the policy loop."""

from __future__ import annotations

from label_queue.queue import LabelQueue
from tests.support.label_queue_contract import LabelQueueContract, Sides
from tests.support.real_queue import LabelSide, WatchedQueue


class TestLabelQueue(LabelQueueContract, of=LabelQueue):
    async def open(self) -> Sides:
        queue = LabelSide().queue
        return Sides(loop=queue, people=queue)

    async def close(self, sides: Sides) -> None:
        assert isinstance(sides.loop, WatchedQueue)
        await sides.loop.close()
