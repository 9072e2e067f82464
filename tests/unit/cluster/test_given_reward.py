"""A reward that is given: found by its name, copied into the run, and never changed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from cluster.run_folder import RunFolder
from cluster.starting.given_reward import GivenReward, adopt, check_given, find_bundle
from protocol.errors import InputError, MissingError, NotFinite, UserError
from protocol.fits import RewardVersion
from reward_service.bundle import load_bundle
from reward_service.bundle_manifest import read_manifest
from reward_service.retention import WITHDRAWN_FILE, withdraw_bundle
from tests.support.controller_world import BATCH, small_config
from tests.support.labels import make_fit
from tests.support.reward import write_reward_versions
from tests.support.tiny_model import save_tiny_model
from tests.unit.cluster.conftest import MakeWorld

pytestmark = pytest.mark.timeout(60)


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("policy"))


@pytest.fixture(scope="module")
def written(policy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three reward versions."""
    root = tmp_path_factory.mktemp("fit")
    write_reward_versions(root, policy, 3)
    return root


def test_a_bundle_is_named_by_its_folder_its_fit_or_its_run(written: Path, tmp_path: Path) -> None:
    assert find_bundle(str(written / "v000002")) == written / "v000002"
    assert find_bundle(str(written)) == written / "v000003"
    assert find_bundle(f"{written}@1") == written / "v000001"
    run = RunFolder.create(tmp_path / "run@home")  # an @ of its own
    run.update_state(state="finished")
    shutil.copytree(written, run.rewards, dirs_exist_ok=True)
    assert find_bundle(str(run.path)) == run.rewards / "v000003"
    assert find_bundle(f"{run.path}@2") == run.rewards / "v000002"


def test_a_name_that_leads_nowhere_says_what_there_is(written: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="has no reward version 9; it has 1, 2, 3"):
        find_bundle(f"{written}@9")
    with pytest.raises(MissingError, match=r"^run\.reward: .* holds no reward version"):
        find_bundle(str(tmp_path / "nowhere"))
    for reference in (f"{written}@9", f"{written}@x", str(tmp_path / "nowhere")):
        with pytest.raises(UserError, match=r"^--reward: "):
            find_bundle(reference, "--reward")
    kept = tmp_path / "kept"
    shutil.copytree(written, kept)
    shutil.copytree(written / "v000001", kept / "v000001.bak")
    assert find_bundle(f"{kept}@1") == kept / "v000001"
    with pytest.raises(InputError, match="want a number after the @"):
        find_bundle(f"{written}@newest")


def test_it_is_copied_whole_keeps_its_number_and_has_learned_nothing_here(
    written: Path, tmp_path: Path
) -> None:
    version = adopt(written / "v000002", tmp_path / "reward")
    assert (version.version, version.ledger_seq, version.learned) == (2, 0, ())
    assert (version.kind, version.labels_used, version.labeler_weights) == ("refit", 0, ())
    assert Path(version.path) == tmp_path / "reward" / "v000002"
    assert load_bundle(Path(version.path)).version.sha256 == version.sha256
    # Where it came from is still told: by its manifest.
    assert read_manifest(Path(version.path)).announcement.ledger_seq == 20
    shutil.rmtree(tmp_path / "reward" / "v000002" / "config.json", ignore_errors=True)
    assert adopt(written / "v000002", tmp_path / "reward") == version
    assert sorted(each.name for each in written.iterdir()) == ["v000001", "v000002", "v000003"]


def test_a_run_that_has_adopted_one_takes_no_other(written: Path, tmp_path: Path) -> None:
    first = adopt(written / "v000001", tmp_path / "reward")
    assert adopt(written / "v000003", tmp_path / "reward") == first
    assert [each.name for each in (tmp_path / "reward").iterdir()] == ["v000001"]


def test_one_that_replicas_refused_is_not_tried_again_until_that_is_wanted(
    written: Path, tmp_path: Path
) -> None:
    root = tmp_path / "reward"
    first = adopt(written / "v000001", root)
    withdraw_bundle(Path(first.path), NotFinite("it scores NaN"))
    with pytest.raises(
        InputError, match=r"replicas refused version 1, says .*v000001/withdrawn.json"
    ):
        adopt(written / "v000001", root)
    (Path(first.path) / WITHDRAWN_FILE).unlink()
    assert adopt(written / "v000001", root) == first


def test_a_reward_of_another_vocabulary_is_refused(
    written: Path, policy: Path, tmp_path: Path
) -> None:
    check_given(written / "v000001", policy)
    shutil.copytree(policy, tmp_path / "policy")
    config = tmp_path / "policy" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "vocab_size": 60}))
    with pytest.raises(InputError, match=r"of 54 tokens, and the policy .* has 60"):
        check_given(written / "v000001", tmp_path / "policy")


async def test_the_controller_trains_on_it_from_the_first_step_to_the_last(
    make_world: MakeWorld, written: Path, tmp_path: Path
) -> None:
    config = small_config(mode="fixed", reward="reward/v000003", episodes=5 * BATCH)
    world = make_world(config=config, labelers=())
    version = adopt(written / "v000003", tmp_path / "reward")
    world.trainer = GivenReward(version)  # type: ignore[assignment]

    await world.controller().run()

    assert [batch.reward_version for batch in world.learner.batches] == [3] * 5
    assert {batch.learned_through for batch in world.learner.batches} == {0}
    assert world.people.queries == []
    [noted] = world.people.rewards
    assert (noted.version, noted.learned) == (3, ())


async def test_whatever_is_ordered_the_answer_is_the_same(written: Path, tmp_path: Path) -> None:
    version: RewardVersion = adopt(written / "v000001", tmp_path / "reward")
    trainer = GivenReward(version)
    assert await trainer.fit(make_fit()) == await trainer.fit(make_fit(ledger_seq=99)) == version


def test_where_marks_are_paid_a_reward_that_learned_none_is_refused(
    written: Path, policy: Path
) -> None:
    with pytest.raises(InputError, match=r"has learned no marks.*\[reward_model.marks\]"):
        check_given(written / "v000001", policy, pays_marks=True)
