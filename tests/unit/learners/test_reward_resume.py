"""A reward trainer in the place of one that is no more: as if it had never died."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from learners.reward_fit import RewardTrainer
from learners.reward_state import RewardStates, digest_of
from protocol.errors import BundleCorrupt, DiskFull, MissingError, NotFinite
from protocol.fits import FitRequest, RewardVersion
from reward_service.bundle import write_bundle
from reward_service.retention import bundle_path, newest_bundle, withdraw_bundle
from tests.support import learner_inputs as inputs
from tests.support.plain_engine import PlainEngine
from tests.support.present import present

REFIT = inputs.fit_request(count=8)
OTHER_REFIT = inputs.fit_request(count=7)
WARM = inputs.fit_request("warm", count=5, first=8)
WARM_AGAIN = inputs.fit_request("warm", count=6, first=9)


class Desk:
    """Starts trainers on one `reward` folder, one after the other."""

    def __init__(self, model: Path, root: Path) -> None:
        self.root = root
        self._model = model

    def trainer(self, **changes: Any) -> RewardTrainer:
        """A new one, which goes on from the newest bundle, if there is one."""
        ticks = iter(range(1000))
        settings = {
            "policy_path": self._model,
            "model": inputs.REWARD_MODEL,
            "fit": inputs.REWARD_FIT,
            "deepspeed": inputs.engine_config(1, 0),
            "root": self.root,
            "reference_sequences": inputs.reference_sequences(),
            "clock": lambda: float(next(ticks)),
            "keeps_state": True,
            "resume_from": newest_bundle(self.root),
        }
        return RewardTrainer(**{**settings, **changes})


@pytest.fixture
def desk(model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setattr("learners.reward_fit.Engine", PlainEngine)
    return Desk(model_folder, tmp_path / "reward")


def states(desk: Desk) -> list[str]:
    return sorted(path.name for path in (desk.root / "trainer").iterdir())


def undisturbed(desk: Desk, *requests: FitRequest) -> list[RewardVersion]:
    trainer = desk.trainer(root=desk.root.with_name("undisturbed"), resume_from=None)
    return [present(trainer.fit(request)) for request in requests]


def test_fits_go_on_as_if_one_trainer_had_done_all(desk: Desk) -> None:
    wanted = undisturbed(desk, REFIT, WARM, WARM_AGAIN, REFIT)
    made = [present(desk.trainer().fit(each)) for each in (REFIT, WARM, WARM_AGAIN, REFIT)]
    assert [each.version for each in made] == [1, 2, 3, 4]
    assert [each.sha256 for each in made] == [each.sha256 for each in wanted]
    # What was learned is remembered too, and judged is only what was not.
    assert [each.metrics for each in made] == [each.metrics for each in wanted]


def test_the_fit_that_was_done_is_known_again_and_no_other(desk: Desk) -> None:
    first = present(desk.trainer().fit(REFIT))
    other = desk.trainer()
    assert other.fit(REFIT) == first
    assert [path.name for path in desk.root.glob("v*")] == ["v000001"]
    again = present(other.fit(replace(REFIT, ledger_seq=REFIT.ledger_seq + 1)))
    assert again.version == 2


def test_a_trainer_that_dies_before_its_bundle_is_there_leaves_no_version(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = undisturbed(desk, REFIT, WARM, WARM_AGAIN)
    desk.trainer().fit(REFIT)

    class Killed(BaseException):
        pass

    def killed(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("learners.agreed_versions.write_bundle", killed)
        with pytest.raises(Killed):
            desk.trainer().fit(inputs.fit_request("warm", count=3, first=8))
    assert states(desk) == ["v000001", "v000002"]
    made = [present(desk.trainer().fit(each)) for each in (WARM, WARM_AGAIN)]
    assert [each.version for each in made] == [2, 3]
    assert [each.sha256 for each in made] == [each.sha256 for each in wanted[1:]]


def test_a_trainer_that_dies_while_it_writes_leaves_the_state_before(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = undisturbed(desk, REFIT, WARM)
    desk.trainer().fit(REFIT)

    class Killed(BaseException):
        pass

    def killed(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(RewardStates, "complete", killed)
        with pytest.raises(Killed):
            desk.trainer().fit(WARM)
    assert states(desk) == [".draft-v000002", "v000001"]
    made = present(desk.trainer().fit(WARM))
    assert (made.version, made.sha256) == (2, wanted[1].sha256)
    assert states(desk) == ["v000001", "v000002"]


def test_only_the_two_newest_states_are_kept_and_what_a_refit_came_after(desk: Desk) -> None:
    trainer, kept = desk.trainer(), []
    for request in (REFIT, WARM, WARM_AGAIN, OTHER_REFIT, WARM, WARM_AGAIN):
        trainer.fit(request)
        kept.append([int(name[1:]) for name in states(desk)])
    assert kept == [[1], [1, 2], [2, 3], [3, 4], [3, 4, 5], [5, 6]]


def test_a_trainer_that_is_not_to_keeps_nothing(desk: Desk) -> None:
    desk.trainer(keeps_state=False).fit(REFIT)
    assert not (desk.root / "trainer").exists()


def test_a_bundle_without_a_state_cannot_be_gone_on_from(desk: Desk) -> None:
    desk.trainer(keeps_state=False).fit(REFIT)
    with pytest.raises(MissingError, match=r"no state of a reward trainer at .*v000001"):
        desk.trainer()


@pytest.mark.parametrize("spoil", ["weights", "manifest", "none"])
def test_a_state_that_is_not_what_was_written_is_refused(desk: Desk, spoil: str) -> None:
    desk.trainer().fit(REFIT)
    folder = desk.root / "trainer" / "v000001"
    weights, manifest = folder / "rank-0000.safetensors", folder / "trainer.json"
    if spoil == "weights":
        payload = bytearray(weights.read_bytes())
        payload[-1] ^= 1
        weights.write_bytes(payload)
    elif spoil == "manifest":
        manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "format": 2}))
    else:
        weights.unlink()
    with pytest.raises(BundleCorrupt, match=r"v000001"):
        desk.trainer()


def test_a_state_of_ranks_spread_otherwise_is_refused(desk: Desk) -> None:
    desk.trainer().fit(REFIT)
    with pytest.raises(BundleCorrupt, match=r"num_ranks=1.*this one has num_ranks=2"):
        desk.trainer(deepspeed=inputs.engine_config(2, 0))


def test_where_the_disk_is_full_no_version_appears(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = desk.trainer()
    trainer.fit(REFIT)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("learners.shares.os.fsync", full)
        with pytest.raises(DiskFull):
            trainer.fit(WARM)
    assert [path.name for path in desk.root.glob("v*")] == ["v000001"]


def test_the_state_is_there_before_its_bundle_is(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[bool] = []

    def look(root: Path, *args: Any) -> RewardVersion:
        found.append((root / "trainer" / "v000001" / "trainer.json").is_file())
        return write_bundle(root, *args)

    monkeypatch.setattr("learners.agreed_versions.write_bundle", look)
    desk.trainer().fit(REFIT)
    assert found == [True]


def test_requests_that_differ_in_anything_have_different_digests() -> None:
    digests = {
        digest_of(each)
        for each in (
            REFIT,
            WARM,
            replace(REFIT, ledger_seq=REFIT.ledger_seq + 1),
            replace(REFIT, labeler_weights=(("ann", 0.25),)),
            replace(REFIT, comparisons=REFIT.comparisons[:-1]),
        )
    }
    assert len(digests) == 5
    assert digest_of(REFIT) == digest_of(inputs.fit_request(count=8))


def withdraw(desk: Desk, version: int) -> None:
    withdraw_bundle(bundle_path(desk.root, version), NotFinite("scores a sequence as NaN"))


@pytest.mark.parametrize("is_restarted", [False, True], ids=["live", "restarted"])
def test_after_a_version_that_replicas_refused_it_goes_on_from_the_one_before(
    desk: Desk, is_restarted: bool
) -> None:
    wanted = undisturbed(desk, REFIT, WARM, WARM_AGAIN)
    trainer = desk.trainer()
    for request in (REFIT, WARM):
        trainer.fit(request)
    for refused in (2, 3):
        withdraw(desk, refused)
        trainer = desk.trainer() if is_restarted else trainer
        # The label side still has the version before for the live one, and the same is due.
        made = present(trainer.fit(replace(WARM, goes_on_from=1)))
        assert (made.version, made.sha256) == (refused + 1, wanted[1].sha256)
    after = present(trainer.fit(replace(WARM_AGAIN, goes_on_from=4)))
    assert (after.version, after.sha256) == (5, wanted[2].sha256)


def test_a_refit_that_replicas_refused_is_worked_on_anew(desk: Desk) -> None:
    trainer = desk.trainer()
    first = present(trainer.fit(REFIT))
    withdraw(desk, 1)
    assert not trainer.advance(1, REFIT)
    made = present(trainer.fit(REFIT))
    assert (made.version, made.sha256) == (2, first.sha256)
    withdraw(desk, 2)
    assert newest_bundle(desk.root) is None
    assert present(desk.trainer().fit(REFIT)).version == 3


@pytest.mark.parametrize("is_restarted", [False, True], ids=["live", "restarted"])
def test_after_a_refit_whose_update_was_refused_it_goes_on_from_what_was_served(
    desk: Desk, is_restarted: bool
) -> None:
    wanted = undisturbed(desk, REFIT, WARM, WARM_AGAIN)
    trainer = desk.trainer()
    for request in (REFIT, WARM, OTHER_REFIT):  # of which the last is never served
        trainer.fit(request)
    if is_restarted:
        trainer = desk.trainer()
    trainer.fit(replace(WARM_AGAIN, goes_on_from=3))
    for refused in (3, 4):
        withdraw(desk, refused)
    trainer = desk.trainer() if is_restarted else trainer
    made = present(trainer.fit(replace(WARM_AGAIN, goes_on_from=2)))
    assert (made.version, made.sha256) == (5, wanted[2].sha256)
