"""What two messages differ in, what a replay says of it, and what the command refuses."""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from cluster.cli import main
from cluster.commands.replay import PART_NAMES
from cluster.config_file import save_config
from cluster.recordings.config import RecordingConfig
from cluster.recordings.crossings import SCORE
from cluster.recordings.recorder import Recorder
from cluster.recordings.segment_files import FOLDER
from cluster.replay.difference import ABSENT, Difference, first_difference
from cluster.replay.outcome import Findings, Outcome, Window
from cluster.replay.parts import PARTS
from cluster.run_folder import RunFolder
from protocol.messages import Score, StepReport
from tests.support.controller_world import small_config
from tests.support.learner_inputs import experience_batch
from tests.support.messages import make_policy, make_score
from tests.support.tiny_model import save_tiny_model

REPORT = StepReport(policy=make_policy(3), metrics={"policy/loss": 0.5, "policy/lr": 0.1})


def with_loss(loss: float) -> StepReport:
    return replace(REPORT, metrics={**REPORT.metrics, "policy/loss": loss})


def test_the_same_message_does_not_differ() -> None:
    assert first_difference(REPORT, replace(REPORT)) is None
    assert first_difference(experience_batch(0), experience_batch(0)) is None


def test_a_difference_is_named_with_its_place_and_size() -> None:
    found = first_difference(REPORT, with_loss(0.75))
    assert found == Difference(path="metrics.policy/loss", recorded=0.5, replayed=0.75)
    assert found.by == 0.25
    assert str(found) == "metrics.policy/loss: recorded 0.5, replayed 0.75, apart by 0.25"


def test_a_place_within_sequences_is_counted_from_0() -> None:
    batch = experience_batch(0)
    other = replace(batch, rollouts=(*batch.rollouts[:2], *experience_batch(1).rollouts[2:]))
    found = first_difference(batch, other)
    assert found is not None
    assert found.path == "rollouts.2.rollout.rollout_id"
    assert found.by is None


@pytest.mark.parametrize(
    ("recorded", "replayed", "tolerance", "is_alike"),
    [
        (1.0, math.nextafter(1.0, 2.0), 0.0, False),
        (1.0, 1.0 + 1e-6, 1e-5, True),
        (1.0, 1.0 + 1e-4, 1e-5, False),
        (math.nan, math.nan, 0.0, True),
        (math.nan, 1.0, 10.0, False),
        (math.inf, math.inf, 0.0, True),
        (3, 4, 10.0, False),
        (True, 1.5, 10.0, False),
        ("a", "b", 10.0, False),
    ],
)
def test_only_floats_are_given_a_tolerance(
    recorded: object, replayed: object, tolerance: float, is_alike: bool
) -> None:
    assert (first_difference([recorded], [replayed], tolerance=tolerance) is None) is is_alike


def test_what_is_lacking_or_too_much_is_named() -> None:
    lacking = first_difference((1, 2), (1,))
    assert lacking == Difference(path="1", recorded=2, replayed=ABSENT)
    assert first_difference({"a": 1}, {"a": 1, "b": 2}) == Difference(
        path="b", recorded=ABSENT, replayed=2
    )
    assert first_difference(REPORT, "NotFinite: nan") is not None


def test_what_is_left_out_is_not_compared() -> None:
    assert first_difference(REPORT, with_loss(9.0), leaving=("policy/loss",)) is None


def test_findings_count_and_name_the_first() -> None:
    difference = first_difference(REPORT, with_loss(0.75))
    outcomes = [
        Outcome(what="policy version 1", place="here"),
        Outcome(what="policy version 2", place="there", difference=difference),
        Outcome(what="policy version 3", place="yonder", difference=difference),
        Outcome(what="r-1", place="here", skipped="its request had no seed"),
        Outcome(what="r-2", place="here", skipped="its request had no seed"),
    ]
    findings = Findings.of(outcomes)
    assert findings.in_words(with_difference=True) == [
        "1 of 3 as recorded",
        "2 not replayed: its request had no seed",
        "first that differs: policy version 2 (there)",
        "  metrics.policy/loss: recorded 0.5, replayed 0.75, apart by 0.25",
    ]
    assert findings.in_words(with_difference=False) == findings.in_words(with_difference=True)[:-1]


def test_a_window_holds_both_its_ends() -> None:
    window = Window(first=2, last=4)
    assert [version for version in range(7) if window.holds(version)] == [2, 3, 4]
    assert [version for version in range(7) if window.is_past(version)] == [5, 6]
    assert Window().holds(10**9)


def test_the_command_offers_every_part() -> None:
    assert tuple(PARTS) == PART_NAMES


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """A run that recorded nothing."""
    folder = RunFolder.create(tmp_path / "run-1")
    policy = save_tiny_model(tmp_path / "policy")
    config = small_config()
    save_config(
        config.model_copy(update={"policy": config.policy.model_copy(update={"path": str(policy)})})
        if config.policy
        else config,
        folder.config,
    )
    folder.update_state(run_id="run-1", started_at=1.0)
    return folder


def invoke(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["replay", *arguments])
    return result.exit_code, result.output


@pytest.mark.parametrize(
    ("part", "stream"),
    [("learner", "batches"), ("reward-trainer", "labels"), ("reward-service", "scores")],
)
def test_what_was_not_recorded_is_named_with_its_mend(
    run: RunFolder, part: str, stream: str
) -> None:
    code, output = invoke(str(run.path), "--part", part)
    assert code == 2
    assert f'no record of its {stream}: set recording.record = ["{stream}"]' in output


def test_versions_in_the_wrong_order_are_refused(run: RunFolder) -> None:
    code, output = invoke(str(run.path), "--part", "learner", "--from", "5", "--until", "4")
    assert code == 2
    assert output == "andon: --until 4 lies before --from 5: name a later version\n"


@pytest.mark.parametrize("tolerance", ["nan", "-1", "inf"])
def test_a_tolerance_is_a_finite_number(run: RunFolder, tolerance: str) -> None:
    code, output = invoke(str(run.path), "--part", "learner", f"--tolerance={tolerance}")
    assert code == 2
    assert "want a finite number" in output


async def record_a_score(run: RunFolder) -> None:
    config = RecordingConfig(record=("scores",))
    recorder = Recorder(run.recordings / FOLDER, config, clock=lambda: 1.0)

    async def answer() -> list[Score]:
        return [make_score(reward_version=7)]

    await recorder.through(SCORE, ((1, 2),), answer, tuple)
    recorder.close()


async def test_scores_whose_bundle_is_gone_are_named(run: RunFolder) -> None:
    await record_a_score(run)
    command = [str(run.path), "--part", "reward-service"]
    code, output = await asyncio.to_thread(invoke, *command)
    assert code == 2
    assert output.startswith(f"andon: {run.path}: nothing of what the reward-service did")
    assert "(1: reward version 7 was not kept (reward_service.keep_versions))" in output
    code, output = await asyncio.to_thread(invoke, *command, "--from", "8")
    assert code == 2
    assert "(there is no record of any)" in output
