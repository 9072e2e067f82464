"""What every reward service promises: the fake, the client, and the service on Ray."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest

from protocol.errors import NotFinite, ScoringFailed, VersionError
from protocol.fits import RewardVersion
from protocol.ports import RewardService, Scorer
from tests.support.contract import Contract

SEQUENCES = ((5, 6, 7, 8), (9,), (4, 4, 4, 4, 4, 4), (10, 11), (5, 6, 7, 8))
"""Unlike lengths, out of order, and one of them twice."""


class RewardServiceContract(Contract):
    """Subclasses give a `scorer`, and `announced`: the next reward versions, none served yet."""

    async def test_no_sequence_has_no_score(self, scorer: Scorer) -> None:
        assert await scorer.score([]) == []

    async def test_each_sequence_has_its_own_score_whatever_it_comes_with(
        self, scorer: RewardService, announced: Iterator[RewardVersion]
    ) -> None:
        version = next(announced)
        await scorer.swap(version)
        scores = await scorer.score(SEQUENCES)
        assert len(scores) == len(SEQUENCES)
        assert {score.reward_version for score in scores} == {version.version}
        assert all(math.isfinite(x) for score in scores for x in (score.value, *score.heads))
        assert scores[0].value == pytest.approx(scores[4].value, abs=1e-5)
        alone = [(await scorer.score([sequence]))[0] for sequence in SEQUENCES]
        assert [s.value for s in alone] == pytest.approx([s.value for s in scores], abs=1e-5)

    async def test_what_is_swapped_in_scores_from_then_on(
        self, scorer: RewardService, announced: Iterator[RewardVersion]
    ) -> None:
        first, second = next(announced), next(announced)
        await scorer.swap(first)
        before = await scorer.score(SEQUENCES)
        await scorer.swap(second)
        await scorer.swap(second)  # may be called twice
        after = await scorer.score(SEQUENCES)
        assert {score.reward_version for score in after} == {second.version}
        assert [s.value for s in after] != pytest.approx([s.value for s in before], abs=1e-5)

    async def test_an_older_version_is_refused(
        self, scorer: RewardService, announced: Iterator[RewardVersion]
    ) -> None:
        older, newer = next(announced), next(announced)
        await scorer.swap(newer)
        with pytest.raises(VersionError):
            await scorer.swap(older)
        assert (await scorer.score(SEQUENCES))[0].reward_version == newer.version

    async def test_what_is_withdrawn_is_never_served_and_what_is_served_stays(
        self, scorer: RewardService, announced: Iterator[RewardVersion]
    ) -> None:
        served, on_the_way, after = (next(announced) for _ in range(3))
        await scorer.swap(served)
        for version in (served, on_the_way, on_the_way):
            await scorer.withdraw(version, NotFinite("its update scores NaN"))
        await scorer.swap(served)
        with pytest.raises(NotFinite, match="its update scores NaN"):
            await scorer.swap(on_the_way)
        await scorer.swap(after)
        assert (await scorer.score(SEQUENCES))[0].reward_version == after.version


class SilentScorerContract(Contract):
    """Subclasses give a `silent` scorer, of which no replica answers."""

    async def test_a_score_that_cannot_be_had_is_an_error(self, silent: Scorer) -> None:
        with pytest.raises(ScoringFailed):
            await silent.score(SEQUENCES)
