"""A policy that training has led to where people can compare nothing stops the line."""

from __future__ import annotations

import asyncio

import pytest

from cluster.config_file import parse_config
from protocol.errors import NothingToAsk
from protocol.messages import RolloutRequest
from tests.support.controller_world import BATCH, World, small_config
from tests.support.cord import release_shown
from tests.support.one_thread import settle
from tests.support.parts import FakeActor
from tests.unit.cluster.conftest import MakeWorld

pytestmark = pytest.mark.timeout(60)


class Endless(FakeActor):
    """Ends no response that people would compare, from a version on, until it is mended."""

    def __init__(self, first: int) -> None:
        super().__init__(self._ends)
        self._first = first
        self.is_mended = False

    def _ends(self, request: RolloutRequest) -> bool:
        is_whole = self.version < self._first or self.is_mended
        return request.purpose != "query" or is_whole


async def open_guards(world: World) -> list[str]:
    return [each.guard for each in (await world.labels.cord()).reasons]


async def test_the_line_is_stopped_with_what_the_policy_writes_and_goes_on_once_released(
    make_world: MakeWorld,
) -> None:
    actor = Endless(first=2)
    world = make_world(actor)
    running = asyncio.ensure_future(world.controller().run())
    await settle()
    assert await open_guards(world) == ["nothing_to_ask"]
    [kept] = world.evidence()
    assert kept["reason"] == (
        "10 orders in a row brought no query: the policy's responses never end with the cut or end "
        "token"
    )
    assert kept["figures"]["policy_version"] >= 2
    assert kept["samples"]
    asked = len(actor.requests)
    await settle()
    assert len(actor.requests) == asked  # nobody asks on and on meanwhile

    actor.is_mended = True
    await release_shown(world.people.queue, "the cut token was another")
    await asyncio.wait_for(running, 5)
    assert world.progress[-1] == 5 * BATCH


@pytest.mark.parametrize(("first", "is_on"), [(0, True), (2, False)], ids=["untrained", "off"])
async def test_before_any_training_and_where_the_guard_is_off_it_ends_the_run(
    make_world: MakeWorld, first: int, is_on: bool
) -> None:
    content = small_config().model_dump(mode="json", exclude_none=True)
    content["guards"]["nothing_to_ask"] = {"is_on": is_on}
    world = make_world(Endless(first), config=parse_config(content, "test"))
    with pytest.raises(ExceptionGroup) as raised:
        await asyncio.wait_for(world.controller().run(), 5)
    assert raised.group_contains(NothingToAsk, match=r"raise response\.max_tokens")
    assert await open_guards(world) == []
