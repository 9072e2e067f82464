"""The rollout worker over the fake engine: what it draws, remembers and counts."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from actors.config import ResponseConfig, RolloutConfig
from actors.worker import RolloutWorker
from protocol.errors import ConfigError, EngineDied, InputError
from protocol.messages import PolicyVersion
from protocol.ports import RolloutActor
from tests.support.fake_engine import FakeEngine, fake_policy
from tests.support.labels import ManualClock
from tests.support.rollout_actor_contract import OwnRolloutActorContract
from tests.support.rollout_worker import request


class TestRolloutWorker(OwnRolloutActorContract, of=RolloutWorker):
    @pytest.fixture
    def actor(self, worker: RolloutWorker, engine: FakeEngine, tmp_path: Path) -> RolloutWorker:
        self._engine, self._folder = engine, tmp_path
        return worker

    def policy(self, version: int) -> PolicyVersion:
        return fake_policy(version, self._folder)

    def misprinted(self, version: int) -> PolicyVersion:
        return fake_policy(version, self._folder, probe_of=version + 1)

    def hold(self, actor: RolloutActor) -> asyncio.Event:
        self._engine.pause_at = 3
        return self._engine.release


async def test_a_rollout_says_where_it_came_from(worker: RolloutWorker) -> None:
    [first, second] = await worker.generate([request(0), request(1)])
    assert (first.rollout_id, second.rollout_id) == ("t-0", "t-1")
    assert first.prompt == request(0).prompt
    assert first.actor_id == "rollout-0"
    assert first.policy_versions == (0,) * 8
    assert len(first.behavior_logprobs) == len(first.token_ids) == 8
    assert first.started_at == first.finished_at == 100.0


async def test_all_tokens_are_returned_and_the_kept_ones_decoded(worker: RolloutWorker) -> None:
    rollouts = await worker.generate([request(n) for n in range(30)])
    complete = [rollout for rollout in rollouts if rollout.is_complete]
    assert 0 < len(complete) < 30
    for rollout in complete:
        assert len(rollout.token_ids) == 8
        assert rollout.num_kept >= 3
        assert rollout.text.endswith(".")


async def test_end_token_mode_samples_no_further(engine: FakeEngine, clock: ManualClock) -> None:
    response = ResponseConfig(mode="end_token", max_tokens=8)
    worker = RolloutWorker("rollout-0", engine, response, RolloutConfig(), clock=clock)
    await worker.start()
    for rollout in await worker.generate([request(n) for n in range(30)]):
        assert rollout.num_kept == len(rollout.token_ids)
        assert rollout.is_complete == (rollout.token_ids[-1] == 1)
        assert "<eos>" not in rollout.text
        assert rollout.finish_reason == ("end" if rollout.is_complete else "length")


async def test_any_of_the_models_end_tokens_ends_a_response(clock: ManualClock) -> None:
    engine = FakeEngine(end_token_ids=frozenset({1, 4}))
    response = ResponseConfig(mode="end_token", max_tokens=8)
    worker = RolloutWorker("rollout-0", engine, response, RolloutConfig(), clock=clock)
    await worker.start()
    rollouts = await worker.generate([request(n) for n in range(30)])
    assert {rollout.token_ids[-1] for rollout in rollouts if rollout.is_complete} == {1, 4}
    for rollout in rollouts:
        assert {1, 4}.isdisjoint(rollout.token_ids[:-1])
        if rollout.is_complete:
            assert rollout.text == engine.decode(rollout.token_ids[:-1])


async def test_the_config_names_the_end_token(engine: FakeEngine, clock: ManualClock) -> None:
    response = ResponseConfig(mode="end_token", max_tokens=8, end_tokens=("bad",))
    worker = RolloutWorker("rollout-0", engine, response, RolloutConfig(), clock=clock)
    await worker.start()
    rollouts = await worker.generate([request(n) for n in range(30)])
    assert {rollout.token_ids[-1] for rollout in rollouts if rollout.is_complete} == {4}
    # The model's own end token ends nothing then, and is seen.
    assert any("⟨<eos>⟩" in rollout.text for rollout in rollouts)


async def test_end_token_mode_needs_an_end_token(clock: ManualClock) -> None:
    engine = FakeEngine(end_token_ids=frozenset())
    response = ResponseConfig(mode="end_token")
    worker = RolloutWorker("rollout-0", engine, response, RolloutConfig(), clock=clock)
    with pytest.raises(ConfigError, match="names an end token"):
        await worker.start()


async def test_a_request_that_comes_again_gets_its_first_answer(
    worker: RolloutWorker, engine: FakeEngine
) -> None:
    together = await worker.generate([request(0), request(0)])
    later = await worker.generate([request(0)])
    assert together == later * 2
    assert engine.num_samples == 1


async def test_only_the_last_answers_are_remembered(
    worker: RolloutWorker, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.worker.ROLLOUTS_REMEMBERED", 2)
    await worker.generate([request(0)])
    await worker.generate([request(1), request(2)])
    await worker.generate([request(1), request(2)])
    assert engine.num_samples == 3
    await worker.generate([request(0)])
    assert engine.num_samples == 4


async def test_a_caller_that_goes_away_ends_no_draw(
    worker: RolloutWorker, engine: FakeEngine
) -> None:
    engine.pause_at = 3
    gone = asyncio.create_task(worker.generate([request(0)]))
    await engine.paused.wait()
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    engine.release.set()
    await worker.generate([request(0)])
    assert engine.num_samples == 1


async def test_a_draw_that_failed_may_be_tried_again(
    worker: RolloutWorker, engine: FakeEngine
) -> None:
    engine.failure = EngineDied("the engine died")
    with pytest.raises(EngineDied):
        await worker.generate([request(0)])
    engine.failure = None
    assert len(await worker.generate([request(0)])) == 1


async def test_a_prompt_too_long_for_the_context_is_named(worker: RolloutWorker) -> None:
    with pytest.raises(InputError, match=r"prompt p-3 of 25 tokens.*context of 32"):
        await worker.generate([request(3, prompt=(5,) * 25)])


async def test_an_empty_prompt_is_named(worker: RolloutWorker) -> None:
    with pytest.raises(InputError, match="prompt p-0 is empty"):
        await worker.generate([request(0, prompt=())])


async def test_stats_count_tokens_and_time(
    worker: RolloutWorker, engine: FakeEngine, clock: ManualClock
) -> None:
    engine.pause_at = 0
    clock.now = 110.0
    draw = asyncio.create_task(worker.generate([request(0), request(1)]))
    await engine.paused.wait()
    clock.now = 114.0
    assert worker.stats().num_in_flight == 2
    assert worker.stats().busy_s == 4.0
    engine.release.set()
    await draw
    clock.now = 120.0
    stats = worker.stats()
    assert (stats.num_rollouts, stats.num_tokens, stats.num_in_flight) == (2, 16, 0)
    assert (stats.uptime_s, stats.busy_s) == (20.0, 4.0)


async def test_stop_stops_the_engine(worker: RolloutWorker, engine: FakeEngine) -> None:
    await worker.stop()
    assert engine.num_stops == 1
