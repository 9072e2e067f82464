"""A label queue in which gold is asked wherever there is any."""

from __future__ import annotations

import pytest

from label_queue.queue import LabelQueue
from tests.support.real_gold import config_with
from tests.unit.label_queue.conftest import MakeQueue
from tests.unit.label_queue.labeling import answer_orders


@pytest.fixture
async def queue(make_queue: MakeQueue) -> LabelQueue:
    """Nearly all tasks are gold, where there is any."""
    queue = make_queue(config_with())
    await answer_orders(queue)
    return queue
