from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from label_queue.config import LeaseConfig
from label_queue.queue import LabelQueue
from tests.support.fake_people_queue import FakePeopleQueue
from tests.support.labels import make_config
from tests.unit.label_queue.conftest import MakeQueue
from tests.unit.label_queue.intake.client import LIMITS, client_of
from tests.unit.label_queue.labeling import answer_orders


@pytest.fixture
async def queue(make_queue: MakeQueue) -> LabelQueue:
    queue = make_queue(make_config(intake=LIMITS, lease=LeaseConfig(max_open=5)))
    await answer_orders(queue)
    return queue


@pytest.fixture
async def ann(queue: LabelQueue) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(queue, await queue.owner.add_labeler("ann")) as client:
        yield client


@pytest.fixture
async def bob(queue: LabelQueue) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(queue, await queue.owner.add_labeler("bob")) as client:
        yield client


@pytest.fixture
def people() -> FakePeopleQueue:
    return FakePeopleQueue()


@pytest.fixture
async def owner(people: FakePeopleQueue) -> AsyncIterator[httpx.AsyncClient]:
    """The owner as a client with a token."""
    admission = await people.owner.admit("olga", "owner")
    async with client_of(people, admission.token) as client:
        yield client
