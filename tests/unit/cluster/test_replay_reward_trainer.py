"""The reward trainer alone, of a run whose replicas refused versions: each has its own number."""

from __future__ import annotations

import asyncio
import shutil
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest

from cluster.recordings.config import RecordingConfig
from cluster.recordings.crossings import FIT
from cluster.recordings.ports import itself
from cluster.recordings.recorder import Recorder
from cluster.recordings.segment_files import FOLDER
from cluster.replay.outcome import Outcome, Window
from cluster.replay.recording import Recording
from cluster.replay.reward_trainer import replay_reward_trainer
from cluster.run_folder import RunFolder
from learners.reward_fit import RewardTrainer
from protocol.errors import NotFinite
from protocol.fits import FitRequest, RewardVersion
from reward_service.retention import bundle_path, newest_bundle, withdraw_bundle
from tests.support import learner_inputs as inputs
from tests.support.controller_world import small_config
from tests.support.plain_engine import PlainEngine
from tests.support.present import present
from tests.support.tiny_model import save_tiny_model

REFIT = inputs.fit_request(count=8)
OTHER_REFIT = inputs.fit_request(count=7)
CLOCK = iter(range(10_000))


def update(first: int, goes_on_from: int) -> FitRequest:
    return replace(inputs.fit_request("warm", count=4, first=first), goes_on_from=goes_on_from)


class RecordedTrainer:
    """A run's trainer, whose fits are put on record."""

    def __init__(self, folder: RunFolder, policy: Path) -> None:
        self.folder = folder
        config = small_config().model_copy(
            update={
                "reward_model": inputs.REWARD_MODEL,
                "reward_fit": inputs.REWARD_FIT,
                "reward_trainer": inputs.engine_config(1, 0),
            }
        )
        self.recording = Recording(folder=folder, config=config, policy_path=policy)
        self._recorder = Recorder(
            folder.recordings / FOLDER, RecordingConfig(record=("labels",)), clock=lambda: 1.0
        )
        self.start()

    def start(self) -> None:
        """Begin, or go on from the newest bundle, as after a death."""
        root = self.folder.rewards.resolve()
        self._trainer = RewardTrainer(
            policy_path=self.recording.policy_path,
            model=inputs.REWARD_MODEL,
            fit=inputs.REWARD_FIT,
            deepspeed=inputs.engine_config(1, 0),
            root=root,
            reference_sequences=inputs.reference_sequences(),
            clock=lambda: float(next(CLOCK)),
            keeps_state=True,
            resume_from=newest_bundle(root),
        )

    def fit(self, request: FitRequest, *, is_recorded: bool = True) -> int:
        async def fit() -> RewardVersion:
            return present(self._trainer.fit(request))

        asking = self._recorder.through(FIT, request, fit, itself) if is_recorded else fit()
        return asyncio.run(asking).version

    def refuse(self, *versions: int) -> None:
        for version in versions:
            withdraw_bundle(bundle_path(self.folder.rewards, version), NotFinite("NaN"))

    def replayed(self, window: Window | None = None) -> list[Outcome]:
        self._recorder.close()
        return list(replay_reward_trainer(self.recording, window or Window(), 0.0))


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RecordedTrainer:
    monkeypatch.setattr("learners.reward_fit.Engine", PlainEngine)
    monkeypatch.setattr("cluster.replay.reward_trainer.one_rank", nullcontext)
    monkeypatch.setattr(Recording, "reference_sequences", lambda _: inputs.reference_sequences())
    policy = save_tiny_model(tmp_path / "policy")
    return RecordedTrainer(RunFolder.create(tmp_path / "run-1"), policy)


def as_recorded(outcomes: list[Outcome]) -> list[int]:
    """The versions that were replayed, all of which came out as recorded."""
    assert [str(each.difference) for each in outcomes if each.difference] == []
    assert [each.skipped for each in outcomes if each.skipped] == []
    return [int(each.what.removeprefix("reward version ")) for each in outcomes]


def fit_and_refuse(run: RecordedTrainer) -> None:
    made = [run.fit(REFIT), run.fit(update(8, 1))]
    run.refuse(2)
    made += [run.fit(update(8, 1)), run.fit(OTHER_REFIT), run.fit(update(9, 4))]
    run.refuse(4, 5)
    made += [run.fit(update(10, 3)), run.fit(OTHER_REFIT), run.fit(update(11, 7))]
    assert made == [1, 2, 3, 4, 5, 6, 7, 8]


@pytest.mark.parametrize("are_kept", [True, False], ids=["bundles kept", "bundles retired"])
def test_versions_after_one_that_was_refused_have_the_runs_numbers(
    run: RecordedTrainer, are_kept: bool
) -> None:
    fit_and_refuse(run)
    if not are_kept:
        shutil.rmtree(run.folder.rewards)
    assert as_recorded(run.replayed()) == [1, 2, 3, 4, 5, 6, 7, 8]


def test_a_replay_that_begins_in_the_middle_updates_what_the_run_did(run: RecordedTrainer) -> None:
    fit_and_refuse(run)
    assert as_recorded(run.replayed(Window(first=7))) == [7, 8]


def test_a_version_that_no_answer_told_of_leaves_its_number_out(run: RecordedTrainer) -> None:
    run.fit(REFIT)
    run.fit(update(8, 1), is_recorded=False)  # the run died, and served it once it was resumed
    run.start()
    assert [run.fit(update(9, 2)), run.fit(OTHER_REFIT), run.fit(update(10, 4))] == [3, 4, 5]
    first, lacking, *others = run.replayed()
    assert (lacking.what, lacking.skipped) == (
        "reward version 3",
        "the version that it goes on from is not on record",
    )
    different = [each.difference.path for each in others if each.difference is not None]
    assert as_recorded([first]) == [1]
    assert [each.what for each in others] == ["reward version 4", "reward version 5"]
    assert all(path.startswith("metrics.reward_model/") for path in different)
