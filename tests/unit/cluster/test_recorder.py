"""What crosses a process comes back from the recording, whatever becomes of the call."""

from __future__ import annotations

import asyncio
import inspect
import itertools
import math
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from cluster.config_file import parse_config
from cluster.loops.fleet import RolloutFleet
from cluster.loops.recorded import RecordedFleet
from cluster.recordings.config import RecordingConfig
from cluster.recordings.crossings import (
    ADD_REFERENCE,
    FIT,
    GENERATE,
    LOAD_POLICY,
    NEXT_FIT,
    NEXT_ORDERS,
    OFFER,
    RESTORE,
    REWARD_SERVED,
    SCORE,
    SET_PROGRESS,
    STEP,
    SWAP,
    StreamName,
    without_place,
)
from cluster.recordings.exchanges import Exchange, read_exchanges
from cluster.recordings.label_calls import recorded_policy_loop
from cluster.recordings.ports import (
    RecordedLearner,
    RecordedRewardService,
    RecordedRewardTrainer,
)
from cluster.recordings.recorder import Recorder
from cluster.recordings.segment_files import segment_files
from cluster.recordings.segments import LIVE
from label_queue.sides.policy_loop import PolicyLoopSide
from protocol.errors import InputError, ResourceError, ScoringFailed, VersionError
from protocol.messages import ExperienceBatch, StepReport, StoredWeights
from tests.support.controller_world import World, small_config
from tests.support.learner_inputs import experience_batch, fit_request
from tests.support.messages import make_policy, make_request
from tests.support.parts import (
    FakeActor,
    FakeLearner,
    FakeRewardService,
    FakeRewardTrainer,
)
from tests.support.reward import make_reward_version

ALL: tuple[Any, ...] = ("rollouts", "scores", "batches", "labels", "versions")


def open_recorder(folder: Path, *record: Any, max_gib: float = 1.0) -> Recorder:
    config = RecordingConfig(record=record or ALL, max_gib=max_gib)
    return Recorder(folder, config, clock=lambda: 100.0)


def exchanges(folder: Path, *streams: StreamName) -> list[Exchange]:
    return list(read_exchanges(folder, *(streams or ("start", *ALL))))


async def test_a_step_is_recorded_before_and_after_it_is_taken(tmp_path: Path) -> None:
    recorder = open_recorder(tmp_path)
    learner = RecordedLearner(FakeLearner(), recorder)
    batch = experience_batch(0)
    report = await learner.step(batch)
    restored = await learner.restore(0)
    assert await learner.checkpoints() == (0,)
    recorder.close()
    step, restore = exchanges(tmp_path)
    assert (step.crossing, step.ask, step.answer) == (STEP, batch, report)
    assert (restore.crossing, restore.ask, restore.answer) == (RESTORE, 0, restored)


async def test_what_a_call_raised_is_recorded_and_raised(tmp_path: Path) -> None:
    recorder = open_recorder(tmp_path)
    with pytest.raises(VersionError):
        await RecordedLearner(FakeLearner(), recorder).step(experience_batch(3))
    with pytest.raises(ScoringFailed):
        await RecordedRewardService(FakeRewardService(failures=1), recorder).score([(1, 2)])
    recorder.close()
    scored, stepped = exchanges(tmp_path)
    assert scored.error == "ScoringFailed: no replica answered"
    assert stepped.error == "VersionError: policy step 3 came after step -1"
    assert not stepped.is_answered


async def test_nan_comes_back_as_nan(tmp_path: Path) -> None:
    batch = experience_batch(0)
    first = batch.rollouts[0]
    bad = replace(first, score=replace(first.score, value=math.nan, heads=(math.inf, -math.inf)))
    recorder = open_recorder(tmp_path)
    await RecordedLearner(FakeLearner(), recorder).step(
        replace(batch, rollouts=(bad, *batch.rollouts[1:]))
    )
    recorder.close()
    (step,) = exchanges(tmp_path)
    score = step.ask.rollouts[0].score
    assert math.isnan(score.value)
    assert score.heads == (math.inf, -math.inf)


async def test_scores_fits_and_versions_are_recorded(tmp_path: Path) -> None:
    recorder = open_recorder(tmp_path)
    service = RecordedRewardService(FakeRewardService(), recorder)
    version = await RecordedRewardTrainer(FakeRewardTrainer(), recorder).fit(fit_request())
    await service.swap(version)
    scores = await service.score([[1, 2], [3]])
    recorder.close()
    scored, fitted, swapped = exchanges(tmp_path)
    assert (scored.crossing, scored.ask) == (SCORE, ((1, 2), (3,)))
    assert list(scored.answer) == scores
    assert (fitted.crossing, fitted.ask, fitted.answer) == (FIT, fit_request(), version)
    assert (swapped.crossing, swapped.ask, swapped.is_answered) == (SWAP, version, True)


async def test_rollouts_and_loads_are_recorded_without_where_weights_lay(tmp_path: Path) -> None:
    recorder = open_recorder(tmp_path)
    fleet = RecordedFleet(RolloutFleet([FakeActor(), FakeActor()], 1), recorder)
    stored = StoredWeights(stored=(object(),), sha256="ab", num_bytes=7)
    policy = replace(make_policy(1), weights=stored)
    difference = await fleet.load_policy(policy)
    requests = [make_request(0), make_request(1)]
    rollouts = await fleet.generate(requests)
    recorder.close()
    drawn, loaded = exchanges(tmp_path)
    assert (drawn.crossing, list(drawn.ask), list(drawn.answer)) == (GENERATE, requests, rollouts)
    assert (loaded.crossing, loaded.answer) == (LOAD_POLICY, difference)
    assert loaded.ask == without_place(policy)
    assert loaded.ask.weights.sha256 == "ab"


def test_the_recorded_fleet_and_label_side_have_every_method_of_the_real_ones() -> None:
    """One that were left out would run on an object that was never set up."""

    def methods(kind: type) -> set[str]:
        return {name for name, it in vars(kind).items() if callable(it) and name[0] != "_"}

    assert methods(RolloutFleet) <= methods(RecordedFleet)
    side = recorded_policy_loop(object(), object())  # type: ignore[arg-type]
    own = methods(type(side)) | methods(type(side).__mro__[1])
    assert methods(PolicyLoopSide) <= own
    assert all(
        map(inspect.iscoroutinefunction, map(type(side).__getattribute__.__get__(side), own))
    )


async def test_a_controller_runs_the_same_on_record(tmp_path: Path) -> None:
    config = parse_config(
        {**small_config().model_dump(exclude_none=True), "recording": {"record": list(ALL)}},
        "test",
    )
    folder = tmp_path / "crossings"
    recorder = Recorder(folder, config.recording, clock=lambda: 100.0)
    world = World(tmp_path, config=config, recorder=recorder)
    controller = world.controller()
    await controller.draw_reference()
    await controller.run()
    await world.close()
    recorder.close()
    found = exchanges(folder)

    def of(crossing: Any) -> list[Exchange]:
        return [each for each in found if each.crossing is crossing and each.is_answered]

    assert [each.ask for each in of(STEP)] == world.learner.batches
    assert len(world.learner.batches) == 5
    assert [each.ask for each in of(FIT)] == world.trainer.requests
    assert [each.answer for each in of(NEXT_FIT)][: len(of(FIT))] == world.trainer.requests
    assert len(of(REWARD_SERVED)) == len(of(SWAP)) == len(of(FIT))
    assert [each.ask.policy.version for each in of(SET_PROGRESS)] == [1, 2, 3, 4, 5]
    orders = {order.order_id for each in of(NEXT_ORDERS) for order in each.answer}
    assert {each.ask.order_id for each in of(OFFER)} <= orders
    (reference,) = of(ADD_REFERENCE)
    drawn = {rollout.rollout_id: rollout for each in of(GENERATE) for rollout in each.answer}
    assert all(drawn[rollout.rollout_id] == rollout for rollout in reference.ask)
    seeds = [rollout.sampling.seed for rollout in drawn.values()]
    assert None not in seeds
    assert len(set(seeds)) == len(seeds)


async def test_only_what_is_asked_for_is_recorded(tmp_path: Path) -> None:
    recorder = open_recorder(tmp_path, "labels")
    assert recorder.wants(FIT)
    assert recorder.wants(ADD_REFERENCE), "no reward can be fitted again without"
    await RecordedLearner(FakeLearner(), recorder).step(experience_batch(0))
    recorder.close()
    assert segment_files(tmp_path) == []


async def test_the_oldest_go_first_and_the_log_says_so(tmp_path: Path) -> None:
    max_gib = 4.0 / 1024
    recorder = open_recorder(tmp_path, "scores", "labels", max_gib=max_gib)
    service = RecordedRewardService(FakeRewardService(), recorder)
    text = [[hash((row, column)) % 50_000 for column in range(500)] for row in range(20)]
    with capture_logs() as logs:
        await recorder.through(ADD_REFERENCE, (), lambda: asyncio.sleep(0), lambda _: None)
        for number in range(400):
            await service.score([[number, *row] for row in text])
        recorder.close()
    files = segment_files(tmp_path)
    size = sum(file.path.stat().st_size for file in files)
    assert 0.5 * max_gib * 2**30 < size <= max_gib * 2**30
    assert files[0].stream == "start", "what the rest cannot be replayed without is kept"
    numbers = [file.number for file in files if file.stream == "scores"]
    assert numbers == list(range(numbers[0], numbers[-1] + 1))
    dropped = [entry["event"] for entry in logs]
    assert len(dropped) == numbers[0] - 2 > 0
    assert dropped[0] == "recording.max_gib is reached: 000002-scores.mcap was dropped, the oldest"
    asked = [each.ask[0][0] for each in exchanges(tmp_path, "scores")]
    assert asked == list(range(asked[0], 400)), "what is left is whole, call by call"


async def test_going_on_seals_what_a_killed_process_left(tmp_path: Path) -> None:
    first = open_recorder(tmp_path)
    await RecordedLearner(FakeLearner(), first).step(experience_batch(0))
    first.close()
    (file,) = segment_files(tmp_path)
    live = file.path.with_name(file.path.name + LIVE)
    live.write_bytes(file.path.read_bytes()[:-300])
    file.path.unlink()
    second = open_recorder(tmp_path)
    learner = FakeLearner()
    learner.newest = 1
    await RecordedLearner(learner, second).step(experience_batch(1))
    second.close()
    assert [(each.number, each.is_live) for each in segment_files(tmp_path)] == [
        (1, False),
        (2, False),
    ]
    assert [each.ask.step for each in exchanges(tmp_path, "batches")] == [0, 1]


async def test_a_disk_that_refuses_is_told_to_who_records_next(tmp_path: Path) -> None:
    folder = tmp_path / "crossings"
    recorder = open_recorder(folder, "batches")
    folder.rmdir()
    asked: list[int] = []

    class CountedLearner(FakeLearner):
        def step(self, batch: ExperienceBatch) -> Coroutine[None, None, StepReport]:
            asked.append(batch.step)
            return super().step(batch)

    behind = CountedLearner()
    learner = RecordedLearner(behind, recorder)

    async def go_on() -> None:
        for step in itertools.count():
            await learner.step(experience_batch(step))

    with pytest.raises(ResourceError, match="crossings"):
        await go_on()
    with pytest.raises(ResourceError, match="crossings"):
        await learner.step(experience_batch(len(behind.batches)))
    assert asked == [batch.step for batch in behind.batches], "no call is begun and not awaited"
    with pytest.raises(ResourceError, match="crossings"):
        recorder.close()


async def test_a_newer_schema_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    newer = replace(SWAP, version=2)
    recorder = open_recorder(tmp_path)
    await recorder.through(newer, make_reward_version(1), lambda: asyncio.sleep(0), lambda _: None)
    recorder.close()
    with pytest.raises(InputError, match=r"frame 1 .* newer Andon \(reward_service\.swap\.asked 2"):
        exchanges(tmp_path)
