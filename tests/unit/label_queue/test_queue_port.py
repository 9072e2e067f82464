"""The label queue keeps, in process, what it promises the policy loop."""

from __future__ import annotations

from label_queue.queue import LabelQueue
from tests.support.label_queue_contract import LabelQueueContract, Sides
from tests.support.real_queue import LabelSide


class TestLabelQueue(LabelQueueContract, of=LabelQueue):
    async def open(self) -> Sides:
        self._queue = LabelSide().queue
        queue = self._queue
        return Sides(loop=queue.policy_loop, people=queue.people, owner=queue.owner)

    async def close(self, sides: Sides) -> None:
        await self._queue.close()
