"""What every scorer must do, the fake included."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import pytest

from protocol.errors import VersionError
from protocol.labels import RewardVersion
from protocol.messages import Score

SEQUENCES = ((5, 6, 7, 8), (9,), (4, 4, 4, 4, 4, 4), (10, 11), (5, 6, 7, 8))
"""Unlike lengths, out of order, and one of them twice."""


class SwappingScorer(Protocol):
    """A `protocol.ports.Scorer` that takes new reward versions."""

    async def score(self, sequences: Sequence[Sequence[int]]) -> list[Score]: ...

    async def swap(self, version: RewardVersion) -> None: ...


async def exercise(scorer: SwappingScorer, first: RewardVersion, second: RewardVersion) -> None:
    """Score under `first`, which is served already, then under `second`."""
    assert await scorer.score([]) == []

    before = await scorer.score(SEQUENCES)
    assert len(before) == len(SEQUENCES)
    assert {score.reward_version for score in before} == {first.version}
    assert all(math.isfinite(x) for score in before for x in (score.value, *score.heads))
    assert before[0].value == pytest.approx(before[4].value, abs=1e-5)

    alone = [(await scorer.score([sequence]))[0] for sequence in SEQUENCES]
    assert [s.value for s in alone] == pytest.approx([s.value for s in before], abs=1e-5)

    await scorer.swap(second)
    await scorer.swap(second)  # may be called twice
    after = await scorer.score(SEQUENCES)
    assert {score.reward_version for score in after} == {second.version}
    assert [s.value for s in after] != pytest.approx([s.value for s in before], abs=1e-5)

    with pytest.raises(VersionError):
        await scorer.swap(first)
    assert (await scorer.score(SEQUENCES))[0].reward_version == second.version
