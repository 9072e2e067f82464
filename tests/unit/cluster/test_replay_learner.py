"""The learner replayed over a run that died, lost steps, and went on under higher numbers."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cluster.config_file import save_config
from cluster.recordings.config import RecordingConfig
from cluster.recordings.ports import RecordedLearner
from cluster.recordings.recorder import Recorder
from cluster.recordings.segment_files import FOLDER
from cluster.recordings.streams import POLICIES, Recordings
from cluster.replay import learner as replayed
from cluster.replay.learner import replay_learner
from cluster.replay.outcome import Window
from cluster.replay.recording import Recording
from cluster.run_folder import RunFolder
from label_queue.folds.lineage import as_provenance
from learners.config import PolicyConfig
from learners.ppo import PPOLearner
from learners.text_config import PretrainingConfig
from learners.weights import ObjectStorePublisher
from protocol.errors import MissingError
from reward_service.config import MarksConfig, RewardModelConfig
from tests.support import learner_inputs as inputs
from tests.support.checkpoint_ranks import moved
from tests.support.controller_world import small_config
from tests.support.one_rank import OneRankLearner
from tests.support.plain_engine import PlainEngine
from tests.support.tiny_model import save_tiny_model

LOST_AT, WENT_ON_FROM, WENT_ON_AS = 3, 1, 4
"""The run died on version 3, with a checkpoint of version 1, which version 4 is again."""


@contextmanager
def no_ranks() -> Iterator[None]:
    yield


@pytest.fixture(params=[0.0, 0.3], ids=["scores", "marks"])
async def recording(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Recording:
    """Three steps and, of another process, two more; the checkpoint between them is gone by now."""
    monkeypatch.setattr("learners.ppo.Engine", PlainEngine)
    monkeypatch.setattr(replayed, "one_rank", no_ranks)
    policy = save_tiny_model(tmp_path / "policy")
    run = RunFolder.create(tmp_path / "run-1")
    config = small_config().model_copy(
        update={
            "policy": PolicyConfig(path=str(policy)),
            "ppo": inputs.WITH_TEXT.model_copy(update={"mark_coefficient": request.param}),
            "pretraining": PretrainingConfig(),
            "kl": inputs.KL,
            "learner": inputs.engine_config(1, 0, checkpoint={"every_steps": 100}),
            "reward_model": RewardModelConfig(marks=MarksConfig()),
            "recording": RecordingConfig(record=("batches",)),
        }
    )
    save_config(config, run.config)
    inputs.pretraining().write(run.pretraining)
    recording = Recording(folder=run, config=config, policy_path=policy)
    recorder = Recorder(run.recordings / FOLDER, config.recording, clock=lambda: 1.0)

    def rank() -> PPOLearner:
        publisher = ObjectStorePublisher(lambda content: None)
        return replayed.make_learner(recording, run.policies, inputs.PROBE, publisher)

    first = OneRankLearner(rank())
    learner = RecordedLearner(first, recorder)
    await first.keep()
    for step in range(LOST_AT):
        if step == WENT_ON_FROM:
            await first.keep()  # out of turn, as at a stop that came to nothing
        await learner.step(inputs.with_marks(inputs.experience_batch(step)))
    second = OneRankLearner(rank())
    learner = RecordedLearner(second, recorder)
    policy_version = await learner.resume(WENT_ON_FROM, WENT_ON_AS)
    recordings = Recordings(run.recordings)
    recordings.write(POLICIES, as_provenance(policy_version, 1.0))
    recordings.close()
    for step in (1, 2):
        by = WENT_ON_AS - WENT_ON_FROM
        await learner.step(moved(inputs.with_marks(inputs.experience_batch(step)), by=by))
    recorder.close()
    shutil.rmtree(run.policies / f"v{WENT_ON_FROM:06d}")
    return recording


async def test_every_step_is_as_recorded_though_the_checkpoint_is_gone(
    recording: Recording,
) -> None:
    outcomes = list(replay_learner(recording, Window(), tolerance=0.0))
    assert [each.what for each in outcomes] == [
        f"policy version {made}" for made in (1, 2, 3, WENT_ON_AS + 1, WENT_ON_AS + 2)
    ]
    assert [each.difference for each in outcomes] == [None] * 5


async def test_without_the_run_s_own_text_it_is_not_trained_on_another(
    recording: Recording,
) -> None:
    recording.folder.pretraining.unlink()
    with pytest.raises(MissingError, match="blocks of pretraining text"):
        list(replay_learner(recording, Window(), tolerance=0.0))


async def test_without_word_of_the_resume_what_lacks_is_named(recording: Recording) -> None:
    """It is not guessed that the steps went on from the newest version."""
    POLICIES.path(recording.folder.recordings).unlink()
    with pytest.raises(MissingError, match=f"policy version {WENT_ON_AS} was not kept"):
        list(replay_learner(recording, Window(), tolerance=0.0))
