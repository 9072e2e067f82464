"""How long is waited between tries: twice as long each time, scattered, and as long as asked."""

from __future__ import annotations

import random

import pytest
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt

from protocol.retrying import Backoff, NotNow


def backoff(least: float = 0.5) -> Backoff:
    return Backoff(first_s=0.1, longest_s=5.0, rng=random.Random(0), least=least)


@pytest.mark.parametrize(
    ("num_failures", "longest_s"), [(1, 0.1), (2, 0.2), (3, 0.4), (7, 5.0), (5_000, 5.0)]
)
@pytest.mark.parametrize("least", [0.0, 0.5])
def test_pauses_double_up_to_the_longest_and_scatter_below(
    num_failures: int, longest_s: float, least: float
) -> None:
    pause = backoff(least)
    drawn = sorted(pause.pause_s(num_failures) for _ in range(200))
    assert least * longest_s <= drawn[0] < (least + 0.1) * longest_s
    assert 0.9 * longest_s < drawn[-1] <= longest_s


async def test_no_pause_is_shorter_than_asked_for() -> None:
    slept: list[float] = []
    faults = [NotNow("busy", 7.5), NotNow("busy", -3.0), NotNow("busy", 0.01), OSError()]

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    async def fail() -> None:
        raise faults[len(slept)]

    retrying = AsyncRetrying(
        sleep=sleep,
        wait=backoff(),
        stop=stop_after_attempt(4),
        retry=retry_if_exception_type(NotNow),
    )
    with pytest.raises(OSError):  # noqa: PT011 -- which one is plain
        await retrying(fail)
    assert slept[0] == 7.5
    assert 0.1 <= slept[1] <= 0.2
    assert 0.2 <= slept[2] <= 0.4
