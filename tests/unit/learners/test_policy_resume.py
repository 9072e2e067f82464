"""A policy learner that goes on from what another one kept, and the numbers of its versions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from learners.ppo import PPOLearner
from protocol.errors import VersionError
from protocol.messages import PolicyVersion
from tests.support import learner_inputs as inputs
from tests.support.plain_engine import PlainEngine
from tests.support.policy_learner import policy_learner_of
from tests.support.present import present
from tests.support.tiny_model import save_tiny_model


class Desk:
    """Learners of one run, one after the other."""

    def __init__(self, path: Path, model: Path) -> None:
        self.policies = path / "policy"
        self._path, self._model = path, model

    def learner(self) -> PPOLearner:
        return policy_learner_of(self._model, self._path)

    def learner_at_2(self) -> PPOLearner:
        """Return one that took two steps and kept 0 and 2, of which the run's file is missing."""
        learner = self.learner()
        learner.keep()
        for step in range(2):
            learner.step(inputs.experience_batch(step))
        learner.keep()
        return learner


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("policy"))


@pytest.fixture
def desk(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setattr("learners.ppo.Engine", PlainEngine)
    return Desk(tmp_path, model)


def test_what_was_kept_under_a_number_is_not_taken_for_other_weights(desk: Desk) -> None:
    desk.learner_at_2()
    second = desk.learner()
    second.resume(0, 2)
    with pytest.raises(VersionError, match="version 2 was kept before, with other steps"):
        second.keep()
    third = desk.learner()
    assert present(third.resume(0, 3)).restored_from == 0
    assert third.keep() == 3


def test_the_same_version_again_is_kept_once(desk: Desk) -> None:
    desk.learner_at_2()
    second = desk.learner()
    assert present(second.resume(2)).version == 2
    assert second.keep() == 2
    assert second.checkpoints() == (0, 2)


def test_a_version_that_a_rollback_made_says_so_again(desk: Desk) -> None:
    first = desk.learner_at_2()
    first.step(inputs.experience_batch(2))
    made = present(first.restore(2))
    assert (made.version, made.restored_from) == (4, 2)
    first.keep()
    second = desk.learner()
    again = present(second.resume(4))
    assert (again.version, again.restored_from) == (4, 2)
    report = present(second.step(inputs.as_step(inputs.experience_batch(2), 4)))
    assert report.policy.restored_from is None


def test_the_way_goes_on_from_where_it_was_kept(desk: Desk) -> None:
    first = desk.learner_at_2()
    moved = first._moved_kl
    assert moved > 0
    first.step(inputs.experience_batch(2))
    for publish_as in (2, 3):
        second = desk.learner()
        assert present(second.resume(2, publish_as)).moved_kl == moved
        report = present(second.step(inputs.as_step(inputs.experience_batch(2), publish_as)))
        assert report.policy.moved_kl == moved + report.metrics["policy/step_kl"]


def test_a_checkpoint_of_before_the_way_was_kept_begins_one(desk: Desk) -> None:
    assert resumed_without(desk, "moved_kl").moved_kl == 0


def test_a_checkpoint_of_before_is_of_a_version_that_no_rollback_made(desk: Desk) -> None:
    assert resumed_without(desk, "restored_from").restored_from is None


def resumed_without(desk: Desk, field: str) -> PolicyVersion:
    """Resume a checkpoint whose position does not say something yet."""
    desk.learner_at_2()
    manifest = desk.policies / "v000002" / "manifest.json"
    content = json.loads(manifest.read_text())
    del content["position"][field]
    manifest.write_text(json.dumps(content))
    return present(desk.learner().resume(2))
