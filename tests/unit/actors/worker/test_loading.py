"""The rollout worker over the fake engine: which weights it loads and proves, also after a rest."""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from actors.config import RolloutConfig
from actors.worker import RolloutWorker
from protocol.errors import BundleCorrupt, EngineDied, MissingError, ProbeMismatch, VersionError
from protocol.messages import PolicyVersion
from tests.support.fake_engine import (
    PROBE_TOKENS,
    FakeEngine,
    bigram_logits,
    fake_policy,
    fake_weights,
)
from tests.support.labels import ManualClock
from tests.support.messages import weights_path
from tests.support.rollout_worker import RESPONSE, request
from tests.support.stored import Stored, stored_weights


def overwrite(announced: PolicyVersion, content: bytes) -> None:
    weights_path(announced).write_bytes(content)


def withdraw(announced: PolicyVersion) -> None:
    weights_path(announced).unlink()


async def test_the_starting_model_is_proved_without_a_load(
    worker: RolloutWorker, engine: FakeEngine, tmp_path: Path
) -> None:
    assert await worker.load_policy(fake_policy(0, tmp_path)) == pytest.approx(0, abs=1e-12)
    assert engine.num_loads == 0


async def test_loading_what_is_loaded_does_nothing(
    worker: RolloutWorker, engine: FakeEngine, tmp_path: Path
) -> None:
    first = await worker.load_policy(fake_policy(3, tmp_path))
    assert await worker.load_policy(fake_policy(3, tmp_path)) == first
    assert engine.num_loads == 1
    assert worker.stats().policy_version == 3


async def test_versions_never_go_backward(worker: RolloutWorker, tmp_path: Path) -> None:
    await worker.load_policy(fake_policy(3, tmp_path))
    with pytest.raises(VersionError, match=r"holds policy version 3 .* load 2"):
        await worker.load_policy(fake_policy(2, tmp_path))


async def test_tokens_after_a_load_in_flight_carry_the_new_version(
    worker: RolloutWorker, engine: FakeEngine, tmp_path: Path
) -> None:
    engine.pause_at = 3
    draw = asyncio.create_task(worker.generate([request(0)]))
    await engine.paused.wait()
    await worker.load_policy(fake_policy(2, tmp_path))
    engine.release.set()
    [rollout] = await draw
    assert rollout.policy_versions == (0, 0, 0, 2, 2, 2, 2, 2)


async def test_bytes_that_were_not_announced_are_not_loaded(
    worker: RolloutWorker, engine: FakeEngine, tmp_path: Path
) -> None:
    announced = fake_policy(1, tmp_path)
    overwrite(announced, fake_weights(9))
    with pytest.raises(BundleCorrupt, match="policy version 1"):
        await worker.load_policy(announced)
    assert engine.num_loads == 0
    assert await worker.load_policy(fake_policy(2, tmp_path)) < 1e-9


async def test_a_version_no_longer_published_can_be_skipped(
    worker: RolloutWorker, tmp_path: Path
) -> None:
    gone = fake_policy(1, tmp_path)
    withdraw(gone)
    with pytest.raises(MissingError, match="policy version 1"):
        await worker.load_policy(gone)
    assert await worker.load_policy(fake_policy(2, tmp_path)) < 1e-9


class Lost(Exception):
    """A store's word for what it no longer has."""


class Passing(Stored):
    """A reference to bytes that go from the store once they were fetched so many times."""

    num_left = 0

    def __await__(self) -> Generator[None, None, bytes]:
        if self.num_fetched == self.num_left:
            raise Lost
        return (yield from super().__await__())


def passing(version: int, num_left: int, folder: Path) -> PolicyVersion:
    """Announce a version that goes from the store once it was fetched so many times."""
    stored = stored_weights(fake_weights(version), put=Passing)
    for reference in stored.stored:
        assert isinstance(reference, Passing)
        reference.num_left = num_left
    return replace(fake_policy(version, folder), weights=stored)


async def test_a_version_that_went_from_the_store_can_be_skipped(
    worker: RolloutWorker, tmp_path: Path
) -> None:
    with pytest.raises(MissingError, match=r"no longer holds policy version 1 \(Lost\)"):
        await worker.load_policy(passing(1, 0, tmp_path))
    assert await worker.load_policy(fake_policy(2, tmp_path)) < 1e-9


async def test_an_engine_with_a_part_of_a_version_that_went_draws_no_more(
    worker: RolloutWorker, tmp_path: Path
) -> None:
    with pytest.raises(EngineDied, match="policy version 1 went as rollout-0 took it up"):
        await worker.load_policy(passing(1, 1, tmp_path))  # it is there while it is checked
    for act in (worker.generate([request(0)]), worker.load_policy(fake_policy(2, tmp_path))):
        with pytest.raises(EngineDied, match="a part of it"):
            await act


async def test_weights_that_differ_from_the_learners_stop_the_line(
    worker: RolloutWorker, tmp_path: Path
) -> None:
    with pytest.raises(ProbeMismatch, match=r"policy version 1.*nats at token \d.*another model"):
        await worker.load_policy(fake_policy(1, tmp_path, probe_of=2))
    with pytest.raises(ProbeMismatch):
        await worker.generate([request(0)])
    with pytest.raises(ProbeMismatch):
        await worker.load_policy(fake_policy(3, tmp_path))


async def test_a_missing_output_head_is_named_as_the_cause(
    worker: RolloutWorker, tmp_path: Path
) -> None:
    with pytest.raises(ProbeMismatch, match=r"no lm_head\.weight"):
        await worker.load_policy(fake_policy(1, tmp_path, lm_head=False, probe_of=2))


async def test_a_probe_that_is_not_a_number_is_a_mismatch(
    worker: RolloutWorker, tmp_path: Path
) -> None:
    announced = fake_policy(1, tmp_path)
    logprobs = (announced.probe.logprobs[0], float("nan"), *announced.probe.logprobs[2:])
    probe = replace(announced.probe, logprobs=logprobs)
    with pytest.raises(ProbeMismatch, match="nan nats at token 2"):
        await worker.load_policy(replace(announced, probe=probe))


async def test_a_probe_as_long_as_the_context_is_compared_where_it_fits(
    clock: ManualClock, tmp_path: Path
) -> None:
    engine = FakeEngine(context_length=len(PROBE_TOKENS))
    worker = RolloutWorker("rollout-0", engine, RESPONSE, RolloutConfig(), clock=clock)
    await worker.start()
    assert await worker.load_policy(fake_policy(1, tmp_path)) < 1e-9


class SlowScore(FakeEngine):
    """Holds every score until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.scoring = asyncio.Event()
        self.let_go = asyncio.Event()

    async def score(self, token_ids: Sequence[int]) -> tuple[float, ...]:
        self.scoring.set()
        await self.let_go.wait()
        return await super().score(token_ids)


@pytest.mark.parametrize("good", [True, False])
async def test_no_rollout_leaves_before_its_weights_are_proved(
    clock: ManualClock, tmp_path: Path, good: bool
) -> None:
    engine = SlowScore()
    worker = RolloutWorker("rollout-0", engine, RESPONSE, RolloutConfig(), clock=clock)
    await worker.start()
    load = asyncio.create_task(
        worker.load_policy(fake_policy(1, tmp_path, probe_of=1 if good else 2))
    )
    await engine.scoring.wait()
    draw = asyncio.create_task(worker.generate([request(0)]))
    for _ in range(100):  # turns of the event loop, of which a draw needs about 15
        await asyncio.sleep(0)
    assert worker.stats().num_in_flight == 0
    assert not draw.done()
    engine.let_go.set()
    if good:
        await load
        assert (await draw)[0].policy_versions == (1,) * 8
    else:
        for task in (load, draw):
            with pytest.raises(ProbeMismatch):
                await task


async def test_a_load_whose_caller_goes_away_is_finished(
    clock: ManualClock, tmp_path: Path
) -> None:
    engine = SlowScore()
    worker = RolloutWorker("rollout-0", engine, RESPONSE, RolloutConfig(), clock=clock)
    await worker.start()
    load = asyncio.create_task(worker.load_policy(fake_policy(1, tmp_path)))
    await engine.scoring.wait()
    load.cancel()
    engine.let_go.set()
    assert await worker.load_policy(fake_policy(1, tmp_path)) < 1e-9
    assert engine.num_loads == 1


async def test_new_weights_are_in_place_before_a_woken_engine_takes_its_cache(
    worker: RolloutWorker, engine: FakeEngine, tmp_path: Path
) -> None:
    await worker.rest()
    await worker.load_policy(fake_policy(1, tmp_path))
    assert engine.moves == ["rests", "has weights", "loaded 1", "awake"]


async def test_a_woken_engine_is_proved_though_it_has_what_it_had(
    worker: RolloutWorker, engine: FakeEngine, tmp_path: Path
) -> None:
    policy = fake_policy(1, tmp_path)
    await worker.load_policy(policy)
    await worker.rest()
    engine._table = bigram_logits(2)  # what was on the host is not what was put there
    with pytest.raises(ProbeMismatch):
        await worker.load_policy(policy)


async def test_what_is_being_drawn_is_answered_before_it_rests(
    worker: RolloutWorker, engine: FakeEngine
) -> None:
    engine.pause_at = 2
    draw = asyncio.create_task(worker.generate([request()]))
    await engine.paused.wait()
    resting = asyncio.create_task(worker.rest())
    await asyncio.sleep(0)
    assert not resting.done()
    engine.release.set()
    [rollout] = await draw
    await resting
    assert len(rollout.token_ids) == 8
    assert engine.moves == ["rests"]


async def test_who_asks_it_to_rest_and_goes_away_leaves_it_at_rest(
    worker: RolloutWorker, engine: FakeEngine, tmp_path: Path
) -> None:
    engine.pause_at = 2
    draw = asyncio.create_task(worker.generate([request()]))
    await engine.paused.wait()
    resting = asyncio.create_task(worker.rest())
    await asyncio.sleep(0)
    resting.cancel()
    engine.release.set()
    await draw
    await worker.load_policy(fake_policy(1, tmp_path))  # comes after, though nobody waited
    assert engine.moves == ["rests", "has weights", "loaded 1", "awake"]


async def test_an_engine_that_died_at_rest_says_so_from_then_on(
    worker: RolloutWorker, engine: FakeEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def dead() -> None:
        raise EngineDied("the vLLM engine core died")

    await worker.rest()
    monkeypatch.setattr(engine, "wake_weights", dead)
    policy = fake_policy(1, tmp_path)
    for call in (worker.load_policy(policy), worker.load_policy(policy), worker.rest()):
        with pytest.raises(EngineDied):
            await call
