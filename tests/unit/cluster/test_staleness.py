import asyncio

import pytest

from cluster.loops.staleness import StalenessGate
from protocol.errors import VersionError


async def test_admits_a_batch_for_each_version_within_the_bound() -> None:
    gate = StalenessGate(batch_size=4, max_policy_lag=1)

    # Rollout n may start at version v if ⌊(n − 1)/4⌋ ≤ v + 1: at version 0 that is n ≤ 8.
    assert gate.room() == 8
    assert await gate.admit(6) == 6
    assert await gate.admit(6) == 2
    assert gate.room() == 0

    await gate.announce(1)
    assert gate.room() == 4


async def test_a_bound_of_zero_is_synchronous() -> None:
    gate = StalenessGate(batch_size=4, max_policy_lag=0)

    assert await gate.admit(100) == 4
    waiting = asyncio.ensure_future(gate.admit(1))
    await asyncio.sleep(0)
    assert not waiting.done()

    await gate.announce(1)
    assert await waiting == 1


async def test_a_dropped_rollout_gives_its_slot_back() -> None:
    gate = StalenessGate(batch_size=2, max_policy_lag=0)
    await gate.admit(2)

    waiting = asyncio.ensure_future(gate.admit(2))
    await asyncio.sleep(0)
    await gate.release(1)

    assert await waiting == 1
    assert gate.admitted == 2


async def test_a_version_that_goes_backward_is_an_error() -> None:
    gate = StalenessGate(batch_size=2, max_policy_lag=0)
    await gate.announce(3)

    with pytest.raises(VersionError, match="2 came after 3"):
        await gate.announce(2)


async def test_a_restored_version_makes_no_room_of_its_own() -> None:
    gate = StalenessGate(batch_size=4, max_policy_lag=1)
    await gate.admit(8)
    await gate.announce(1)
    assert gate.room() == 4

    # Version 2 is version 0 again: nothing was trained to make it.
    await gate.skip_version()
    await gate.announce(2)
    assert gate.room() == 4
