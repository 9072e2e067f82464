"""The real queue and its fake keep the same promises to the HTTP face."""

from __future__ import annotations

import pytest

from label_queue.config import IntakeConfig
from label_queue.intake.app import FacedQueue
from label_queue.queue import LabelQueue
from tests.support.fake_owner import FakeOwner
from tests.support.fake_people_queue import FakePeopleQueue
from tests.support.labels import make_config
from tests.support.people_contract import OIDC, PeopleQueueContract
from tests.support.tasks import make_task
from tests.unit.label_queue.conftest import MakeQueue
from tests.unit.label_queue.labeling import answer_orders


class TestFakePeopleQueue(PeopleQueueContract, of=FakePeopleQueue):
    async def queue(self) -> FacedQueue:
        return FakePeopleQueue([make_task(number) for number in range(3)])


class TestFakeOwner(TestFakePeopleQueue, of=FakeOwner):
    """Its owner's side, which the contract asks as well."""


class TestLabelQueue(PeopleQueueContract, of=LabelQueue):
    @pytest.fixture(autouse=True)
    def _given(self, make_queue: MakeQueue) -> None:
        self._make_queue = make_queue

    async def queue(self) -> FacedQueue:
        queue = self._make_queue(make_config(intake=IntakeConfig(oidc=OIDC)))
        await answer_orders(queue)
        return queue
