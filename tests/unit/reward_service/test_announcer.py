from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from protocol.errors import BundleCorrupt, VersionError
from reward_service.announcer import Announcer
from tests.support.reward import make_reward_version

V1, V2, V3 = (make_reward_version(number) for number in (1, 2, 3))


class ManualClock:
    """A clock that stands still until told."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def announcer(clock: ManualClock) -> Announcer:
    return Announcer(heartbeat_timeout_s=10.0, now=clock)


async def settle() -> None:
    """Let every task run until it waits for another."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_swap_returns_once_every_replica_serves_it(announcer: Announcer) -> None:
    polls = [asyncio.create_task(announcer.next_version(name, None)) for name in "ab"]
    await settle()
    swap = asyncio.create_task(announcer.swap(V1))
    assert await asyncio.gather(*polls) == [V1, V1]

    again = asyncio.create_task(announcer.next_version("a", V1))
    await settle()
    assert not swap.done()
    assert announcer.served is None

    other = asyncio.create_task(announcer.next_version("b", V1))
    await swap
    assert announcer.served == V1
    assert announcer.replicas == {"a": 1, "b": 1}
    again.cancel()
    other.cancel()


async def test_nobody_serving_is_not_everybody_serving(announcer: Announcer) -> None:
    swap = asyncio.create_task(announcer.swap(V1))
    await settle()
    assert not swap.done()
    assert await announcer.next_version("a", None) == V1
    poll = asyncio.create_task(announcer.next_version("a", V1))
    await swap
    poll.cancel()


async def test_a_replica_that_works_on_a_version_is_waited_for(
    announcer: Announcer, clock: ManualClock
) -> None:
    polls = [asyncio.create_task(announcer.next_version(name, None)) for name in ("slow", "fast")]
    await settle()
    swap = asyncio.create_task(announcer.swap(V1))
    await asyncio.gather(*polls)
    for clock.seconds in (8.0, 16.0, 24.0):
        announcer.at_work("slow")
        fast = asyncio.create_task(announcer.next_version("fast", V1))
        await settle()
        await announcer.forget_silent()
        fast.cancel()
    await settle()
    assert not swap.done()
    slow = asyncio.create_task(announcer.next_version("slow", V1))
    await swap
    slow.cancel()


async def test_work_of_a_replica_that_nobody_knows_makes_it_none(announcer: Announcer) -> None:
    announcer.at_work("forgotten")
    assert announcer.replicas == {}


async def test_a_dead_replica_is_forgotten(announcer: Announcer, clock: ManualClock) -> None:
    dead = asyncio.create_task(announcer.next_version("dead", None))
    await settle()
    swap = asyncio.create_task(announcer.swap(V1))
    await dead
    clock.seconds = 6.0
    live = asyncio.create_task(announcer.next_version("live", V1))
    await announcer.forget_silent()
    await settle()
    assert not swap.done()

    clock.seconds = 11.0
    await announcer.forget_silent()
    await swap
    assert announcer.replicas == {"live": 1}
    live.cancel()


async def test_a_version_that_a_replica_refuses_is_withdrawn(clock: ManualClock) -> None:
    announcer = Announcer(heartbeat_timeout_s=10.0, now=clock, served=V1)
    poll = asyncio.create_task(announcer.next_version("a", V1))
    await settle()
    swap = asyncio.create_task(announcer.swap(V2))
    assert await poll == V2
    await announcer.failed(2, BundleCorrupt("a flipped bit"))
    with pytest.raises(BundleCorrupt, match="flipped"):
        await swap
    with pytest.raises(BundleCorrupt, match="flipped"):
        await announcer.swap(V2)
    assert announcer.served == V1

    # A replica that had taken it already goes back.
    assert await announcer.next_version("b", V2) == V1
    waiting = [asyncio.create_task(announcer.next_version(name, V1)) for name in "ab"]
    await settle()
    assert not any(each.done() for each in waiting)
    swap = asyncio.create_task(announcer.swap(V3))
    assert await asyncio.gather(*waiting) == [V3, V3]
    polls = [asyncio.create_task(announcer.next_version(name, V3)) for name in "ab"]
    await swap
    for task in polls:
        task.cancel()


async def test_a_late_refusal_withdraws_no_newer_version(announcer: Announcer) -> None:
    polls = [asyncio.create_task(announcer.next_version(name, None)) for name in ("fast", "slow")]
    await settle()
    refused = asyncio.create_task(announcer.swap(V1))
    assert await asyncio.gather(*polls) == [V1, V1]
    await announcer.failed(1, BundleCorrupt("torn"))
    with pytest.raises(BundleCorrupt, match="torn"):
        await refused
    newer = asyncio.create_task(announcer.swap(V2))
    await settle()
    await announcer.failed(1, BundleCorrupt("torn"))  # of the slow one, which tells it only now
    for name in ("fast", "slow"):
        assert await announcer.next_version(name, None) == V2
    last = [asyncio.create_task(announcer.next_version(name, V2)) for name in ("fast", "slow")]
    await newer
    assert announcer.served == V2
    for poll in last:
        poll.cancel()


async def test_a_swap_may_be_called_twice_and_only_rises(clock: ManualClock) -> None:
    announcer = Announcer(heartbeat_timeout_s=10.0, now=clock, served=V2)
    poll = asyncio.create_task(announcer.next_version("a", V2))
    await settle()
    await announcer.swap(V2)
    with pytest.raises(VersionError, match="only rise"):
        await announcer.swap(V1)
    with pytest.raises(VersionError, match="only rise"):
        await announcer.swap(replace(V2, sha256="other weights"))
    poll.cancel()


async def test_a_restarted_announcer_learns_from_its_replicas(announcer: Announcer) -> None:
    poll = asyncio.create_task(announcer.next_version("a", V2))
    await settle()
    assert announcer.served == V2
    poll.cancel()


async def test_a_first_version_that_was_refused_leaves_nothing_to_go_back_to(
    announcer: Announcer,
) -> None:
    polls = [asyncio.create_task(announcer.next_version(name, None)) for name in "ab"]
    await settle()
    refused = asyncio.create_task(announcer.swap(V1))
    await asyncio.gather(*polls)
    await announcer.failed(1, BundleCorrupt("torn"))
    with pytest.raises(BundleCorrupt):
        await refused
    ahead = asyncio.create_task(announcer.next_version("a", V1))
    await settle()
    assert not ahead.done()
    swap = asyncio.create_task(announcer.swap(V2))
    assert await ahead == V2
    swap.cancel()
