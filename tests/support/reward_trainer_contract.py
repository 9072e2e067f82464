"""What every reward trainer promises: the fake, one rank of the real one, and one in a process."""

from __future__ import annotations

from dataclasses import replace

import pytest

from protocol.errors import InputError, VersionError
from protocol.ports import RewardTrainer
from protocol.seq_ranges import as_ranges
from tests.support.contract import Contract
from tests.support.labels import make_fit


class RewardTrainerContract(Contract):
    """Subclasses give a `trainer`, which tests may share."""

    async def test_a_version_says_what_it_learned(self, trainer: RewardTrainer) -> None:
        for request in (make_fit(), make_fit("warm", ledger_seq=14, num_comparisons=4)):
            version = await trainer.fit(request)
            assert (version.kind, version.ledger_seq) == (request.kind, request.ledger_seq)
            assert version.labels_used == request.labels_used
            assert version.labeler_weights == request.labeler_weights
            assert version.exclusions_sha256 == request.exclusions_sha256
            assert version.learned == as_ranges(each.seq for each in request.comparisons)

    async def test_versions_rise_by_one_and_the_same_request_makes_no_other(
        self, trainer: RewardTrainer
    ) -> None:
        first = await trainer.fit(make_fit(ledger_seq=20))
        assert await trainer.fit(make_fit(ledger_seq=20)) == first
        second = await trainer.fit(make_fit(ledger_seq=21))
        assert second.version == first.version + 1

    async def test_a_refit_is_worked_on_while_updates_are_fitted(
        self, trainer: RewardTrainer
    ) -> None:
        first = await trainer.fit(make_fit(ledger_seq=24))
        refit = make_fit(ledger_seq=25, num_comparisons=6)
        for _ in range(2):
            await trainer.advance(refit, 1)
        update = await trainer.fit(make_fit("warm", ledger_seq=26, num_comparisons=4))
        num_steps = 2
        while not await trainer.advance(refit, num_steps):
            num_steps += 1
        made = await trainer.fit(refit)
        assert [each.version - first.version for each in (update, made)] == [1, 2]
        assert await trainer.advance(refit, num_steps)
        assert await trainer.fit(refit) == made

    async def test_an_update_of_another_version_than_the_newest_is_refused(
        self, trainer: RewardTrainer
    ) -> None:
        newest = (await trainer.fit(make_fit(ledger_seq=27))).version
        update = replace(make_fit("warm", ledger_seq=28), goes_on_from=newest - 1)
        with pytest.raises(VersionError):
            await trainer.fit(update)
        made = await trainer.fit(replace(update, goes_on_from=newest))
        assert made.version == newest + 1

    async def test_nothing_is_learned_from_no_comparison(self, trainer: RewardTrainer) -> None:
        before = await trainer.fit(make_fit(ledger_seq=30))
        with pytest.raises(InputError):
            await trainer.fit(replace(make_fit(ledger_seq=31), comparisons=()))
        after = await trainer.fit(make_fit(ledger_seq=31))
        assert after.version == before.version + 1


class OwnRewardTrainerContract(RewardTrainerContract):
    """And what can be tried only on a trainer that a test has to itself."""

    async def test_there_is_nothing_to_update_before_a_refit(self, trainer: RewardTrainer) -> None:
        with pytest.raises(VersionError):
            await trainer.fit(make_fit("warm"))
        assert (await trainer.fit(make_fit())).version == 1
