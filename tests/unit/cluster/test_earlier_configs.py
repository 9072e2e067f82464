"""A run that was resumed with another config: what it did before is told again as it was done."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cluster.config import RunConfig
from cluster.config_file import load_config, parse_config, save_config
from cluster.earlier_configs import earlier_configs, keep_earlier
from cluster.recordings.config import RecordingConfig
from cluster.recordings.crossings import FIT, NEXT_FIT
from cluster.recordings.ports import RecordedLearner, itself
from cluster.recordings.recorder import Recorder
from cluster.recordings.segment_files import FOLDER
from cluster.replay import learner as replayed
from cluster.replay.label_queue import replay_label_queue
from cluster.replay.learner import make_learner, replay_learner
from cluster.replay.outcome import Outcome, Window
from cluster.replay.recording import Recording
from cluster.replay.reward_trainer import replay_reward_trainer
from cluster.run import resume_to_end, run_to_end
from cluster.run_folder import RunFolder
from cluster.starting.base_model import base_model_folder, note_made
from label_queue.ledger.sql import SqlLedger
from label_queue.queue import LabelQueue
from learners.config import PolicyConfig
from learners.reward_fit import RewardTrainer
from learners.weights import ObjectStorePublisher
from protocol.fits import FitRequest, RewardVersion
from reward_service.retention import newest_bundle
from tests.support import learner_inputs as inputs
from tests.support.controller_world import small_config
from tests.support.labels import ManualClock, make_assignment, make_event, make_query
from tests.support.one_rank import OneRankLearner
from tests.support.plain_engine import PlainEngine
from tests.support.present import present
from tests.support.tiny_model import save_tiny_model

pytestmark = pytest.mark.timeout(120)

RESUMED_AT = 50.0
BEFORE, AFTER = ManualClock(RESUMED_AT - 10), ManualClock(RESUMED_AT + 10)


@contextmanager
def recorder(folder: RunFolder, stream: Any, clock: ManualClock) -> Iterator[Recorder]:
    """Put a stream on record for one of the run's two lives."""
    made = Recorder(folder.recordings / FOLDER, RecordingConfig(record=(stream,)), clock=clock)
    yield made
    made.close()


def resumed(folder: RunFolder, before: RunConfig, after: RunConfig, policy: Path) -> Recording:
    """Write down that a run was resumed with another config; return it as it is replayed."""
    folder.update_state(run_id="run-1")
    keep_earlier(folder, before)
    save_config(after, folder.config)
    folder.update_state(resumed_at=[RESUMED_AT])
    return Recording(
        folder=folder, config=after, policy_path=policy, earlier=earlier_configs(folder)
    )


def differences(outcomes: list[Outcome]) -> dict[str, str]:
    return {each.what: str(each.difference) for each in outcomes}


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder.create(tmp_path / "run-1")


async def test_each_step_is_taken_again_at_the_rate_of_its_time(
    folder: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("learners.ppo.Engine", PlainEngine)
    monkeypatch.setattr(replayed, "one_rank", nullcontext)
    policy = save_tiny_model(tmp_path / "policy")
    before = small_config(episodes=64).model_copy(
        update={
            "policy": PolicyConfig(path=str(policy)),
            "ppo": inputs.PPO,
            "kl": inputs.KL,
            "learner": inputs.engine_config(1, 0, checkpoint={"every_steps": 100}),
        }
    )
    # The rate falls to 0 over the run's episodes, of which it is given more.
    more = before.run.model_copy(update={"episodes": 4 * before.run.episodes})
    after = before.model_copy(update={"run": more})
    recording = resumed(folder, before, after, policy)
    for config, clock, steps in ((before, BEFORE, (0, 1)), (after, AFTER, (2, 3))):
        learner = OneRankLearner(
            make_learner(
                recording,
                folder.policies,
                inputs.PROBE,
                ObjectStorePublisher(lambda content: None),
                config,
            )
        )
        with recorder(folder, "batches", clock) as stream:
            if steps[0]:
                await learner.resume(steps[0], steps[0])
            for step in steps:
                await RecordedLearner(learner, stream).step(inputs.experience_batch(step))
        await learner.keep()
    for window in (Window(), Window(first=2)):
        outcomes = list(replay_learner(recording, window, tolerance=0.0))
        assert set(differences(outcomes).values()) == {"None"}
        assert len(outcomes) == 4 - window.first


def test_each_fit_is_made_again_at_the_rate_of_its_time(
    folder: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("learners.reward_fit.Engine", PlainEngine)
    monkeypatch.setattr("cluster.replay.reward_trainer.one_rank", nullcontext)
    monkeypatch.setattr(Recording, "reference_sequences", lambda _: inputs.reference_sequences())
    policy = save_tiny_model(tmp_path / "policy")
    before = small_config().model_copy(
        update={
            "reward_model": inputs.REWARD_MODEL,
            "reward_fit": inputs.REWARD_FIT,
            "reward_trainer": inputs.engine_config(1, 0),
        }
    )
    faster = inputs.REWARD_FIT.model_copy(update={"warm_lr": 4 * inputs.REWARD_FIT.warm_lr})
    after = before.model_copy(update={"reward_fit": faster})
    recording = resumed(folder, before, after, policy)
    asked = [inputs.fit_request(count=8), *(update(first, first - 7) for first in (8, 9, 10))]
    for config, clock, requests in ((before, BEFORE, asked[:2]), (after, AFTER, asked[2:])):
        trainer = RewardTrainer(
            policy_path=policy,
            model=config.reward_model,
            fit=config.reward_fit,
            deepspeed=config.reward_trainer,
            root=folder.rewards.resolve(),
            reference_sequences=inputs.reference_sequences(),
            clock=lambda: 1.0,
            keeps_state=True,
            resume_from=newest_bundle(folder.rewards.resolve()),
        )
        with recorder(folder, "labels", clock) as stream:
            for request in requests:
                fit(stream, trainer, request)
        trainer.close()
    outcomes = list(replay_reward_trainer(recording, Window(), 0.0))
    assert differences(outcomes) == {f"reward version {made}": "None" for made in (1, 2, 3, 4)}


def update(first: int, goes_on_from: int) -> FitRequest:
    return replace(inputs.fit_request("warm", count=4, first=first), goes_on_from=goes_on_from)


def fit(stream: Recorder, trainer: RewardTrainer, request: FitRequest) -> None:
    async def made() -> RewardVersion:
        return present(trainer.fit(request))

    asyncio.run(stream.through(FIT, request, made, itself))


def test_each_fit_is_ordered_again_by_the_schedule_of_its_time(
    folder: RunFolder, tmp_path: Path
) -> None:
    before = small_config()
    after = small_config({"initial": 20, "total": 80})
    recording = resumed(folder, before, after, tmp_path)

    async def run() -> None:
        for config, clock, labels in ((before, BEFORE, range(10)), (after, AFTER, range(10, 20))):
            queue = LabelQueue(
                SqlLedger.open(folder.ledger, "run-1"),
                config.labels,
                config.label_schedule,
                run_id="run-1",
                seed=config.run.seed,
                clock=clock,
            )
            for number in labels:
                query = make_query(number, created_at=clock.now)
                event = make_event(query, received_at=clock.now)
                await queue.commits.write([query, make_assignment(query), event])
            with recorder(folder, "labels", clock) as stream:
                loop = queue.policy_loop
                await stream.through(NEXT_FIT, "refit", loop.next_refit, itself)
            await queue.close()

    asyncio.run(run())
    outcomes = list(replay_label_queue(recording, Window(), tolerance=0.0))
    assert set(differences(outcomes).values()) == {"None"}
    assert len(outcomes) == 2


CONTENT: dict[str, Any] = {
    "prompts": {"source": "reviews"},
    "base_model": {"num_texts": 20},
    "people": ["ann"],
    "run": {"episodes": 5120},
}


def test_a_config_is_kept_until_the_resumption_that_changes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("prepare_environment", "check_before_start", "_conduct_to_end"):
        monkeypatch.setattr(f"cluster.run.{name}", lambda *_: None)
    path = tmp_path / "runs" / "one"
    run_to_end(parse_config(CONTENT, "test"), path)
    folder = RunFolder.existing(path)
    resume_to_end(path, (), None)
    assert earlier_configs(folder) == ()
    folder.update_state(activity="stopping")
    resume_to_end(path, ("run.episodes=10240",), None)
    assert folder.read_state()["activity"] is None  # that of the life before
    resume_to_end(path, (), None)
    resume_to_end(path, ("ppo.lr=1e-4",), None)
    _, second, _, fourth = folder.read_state()["resumed_at"]
    kept = earlier_configs(folder)
    assert [(until, config.run.episodes) for until, config in kept] == [
        (second, 5120),
        (fourth, 10240),
    ]
    assert len({config.ppo.lr for _, config in kept} - {1e-4}) == 1
    recording = Recording(
        folder=folder, config=load_config(folder.config), policy_path=path, earlier=kept
    )
    held = [recording.config_at(at) for at in (second - 1, second, fourth - 1e-3, fourth + 1)]
    assert held == [kept[0][1], kept[1][1], kept[1][1], recording.config]


def test_a_resumption_that_died_as_it_began_changes_nothing_of_what_was_done(
    folder: RunFolder,
) -> None:
    configs = [small_config(episodes=episodes) for episodes in (80, 160, 240)]
    for each in configs:  # each was saved, and the run died before it noted that it went on
        keep_earlier(folder_with_state(folder), each)
    folder.update_state(resumed_at=[RESUMED_AT])
    assert earlier_configs(folder) == ((RESUMED_AT, configs[0]),)


def folder_with_state(folder: RunFolder) -> RunFolder:
    folder.update_state(run_id="run-1")
    return folder


def test_a_base_model_is_found_where_the_run_says_that_it_took_it(tmp_path: Path) -> None:
    config = parse_config(CONTENT, "test")
    folder = RunFolder.create(tmp_path / "elsewhere" / "run-1")
    save_config(config, folder.config)
    made = base_model_folder(present(config.base_model), tmp_path / "runs")
    made.mkdir(parents=True)
    note_made(made, seconds=1.0, loss=2.0)
    folder.update_state(run_id="run-1", policy_path=str(made))
    caches = (tmp_path / "here", folder.path.parent)
    assert Recording.of(folder.path, caches).policy_path == made
