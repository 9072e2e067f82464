from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from label_queue.queue import LabelQueue
from tests.support.labels import make_config
from tests.support.oidc_provider import OidcProvider, served_provider
from tests.unit.label_queue.conftest import MakeQueue
from tests.unit.label_queue.intake.client import LIMITS
from tests.unit.label_queue.intake.sign_in.browser import Clocks, Visit, Visitor, clocks


@pytest.fixture
async def provider() -> AsyncIterator[OidcProvider]:
    async with served_provider() as provider:
        yield provider


@pytest.fixture
def at() -> Clocks:
    return clocks()


@pytest.fixture
async def queue(make_queue: MakeQueue, provider: OidcProvider) -> LabelQueue:
    """A queue that ann@example.org was added to, as a labeler."""
    intake = LIMITS.model_copy(update={"oidc": provider.config})
    queue = make_queue(make_config(intake=intake))
    await queue.owner.admit("ann@example.org", "labeler", actor="olga")
    return queue


@pytest.fixture
async def visit(queue: LabelQueue, provider: OidcProvider, at: Clocks) -> AsyncIterator[Visit]:
    """Browsers before that queue, unless told otherwise."""
    visitors: list[Visitor] = []

    def make(**changes: Any) -> Visitor:
        given = {"queue": queue, "config": provider.config, "at": at, **changes}
        visitors.append(Visitor(**given))
        return visitors[-1]

    yield make
    for visitor in visitors:
        await visitor.close()


@pytest.fixture
def ann(visit: Visit) -> Visitor:
    return visit()
