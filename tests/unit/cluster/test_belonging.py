"""A folder that lacks a part of its run, or has an older copy of one, is not gone on with."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from cluster.config import RunConfig
from cluster.config_file import parse_config
from cluster.run_folder import OWNER, RunFolder
from cluster.starting.resumption import (
    read_resumption,
    restored,
    run_checkpoints,
    wait_for_ledger,
)
from protocol.errors import BundleCorrupt, InputError, MissingError
from reward_service.bundle_manifest import Manifest
from reward_service.config import RewardModelConfig
from tests.support.kept_run import KeptRun
from tests.support.labels import make_event, make_query, make_reward
from tests.support.messages import make_policy
from tests.support.present import present

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def run(tmp_path: Path) -> KeptRun:
    return KeptRun(tmp_path / "run-1", num_labels=12)


@pytest.fixture
def config() -> RunConfig:
    return parse_config(
        {
            "people": ["ann"],
            "run": {"episodes": 1024},
            "prompts": {"source": "reviews"},
            "policy": {"path": "model"},
            "labels": {"total": 1000},
        },
        "test",
    )


def remove_ledger(folder: RunFolder) -> None:
    for file in folder.path.glob("ledger.sqlite*"):
        file.unlink()


def copied(folder: RunFolder, place: Path) -> Callable[[], None]:
    """Copy the ledger as it is now; return what puts the copy back."""
    place.mkdir()
    for file in folder.path.glob("ledger.sqlite*"):
        shutil.copy2(file, place)

    def put_back() -> None:
        remove_ledger(folder)
        shutil.copytree(place, folder.path, dirs_exist_ok=True)

    return put_back


def make_bundle(folder: RunFolder, version: int, learned_through: int) -> Path:
    """Write what a reward version says of itself; nobody loads it here."""
    manifest = Manifest(
        announcement=make_reward(version, ledger_seq=learned_through),
        reward_model=RewardModelConfig(),
        gain=(1.0,),
        bias=(0.0,),
    )
    bundle = folder.rewards / f"v{version:06d}"
    bundle.mkdir()
    (bundle / "manifest.json").write_text(manifest.to_json())
    return bundle


def test_a_ledger_that_is_gone_is_not_made_anew(run: KeptRun, config: RunConfig) -> None:
    run.keep(0)
    wait_for_ledger(run.folder, config, print)
    remove_ledger(run.folder)
    with pytest.raises(MissingError, match=r"ledger\.sqlite: the run's ledger is not there"):
        wait_for_ledger(run.folder, config, print)
    assert list(run.folder.path.glob("ledger.sqlite*")) == []


def test_nor_where_nothing_but_tokens_tell_of_it(run: KeptRun, config: RunConfig) -> None:
    remove_ledger(run.folder)
    run.folder.write_token(OWNER, "secret")
    with pytest.raises(MissingError, match="the run's ledger is not there"):
        wait_for_ledger(run.folder, config, print)


def test_a_run_that_died_before_it_had_one_begins_anew(tmp_path: Path, config: RunConfig) -> None:
    folder = RunFolder.create(tmp_path / "run-1")
    wait_for_ledger(folder, config, print)
    assert read_resumption(folder, config, None) is None


def test_a_ledger_that_knows_less_of_the_policy_is_an_older_copy(
    run: KeptRun, config: RunConfig, tmp_path: Path
) -> None:
    run.keep(0)
    run.keep(10)
    put_back = copied(run.folder, tmp_path / "copy")
    run.keep(20)
    run.keep(30, is_told=False)  # its run died before it told of it
    assert present(read_resumption(run.folder, config, None)).publish_as == 30
    put_back()
    for version in (None, 10):
        with pytest.raises(
            InputError, match=r"older copy .*: it knows no policy version after 10, .* of 20; put"
        ):
            read_resumption(run.folder, config, version)
    assert run_checkpoints(run.folder).versions() == (0, 10, 20, 30)


def test_a_ledger_without_labels_that_a_reward_learned_is_an_older_copy(
    run: KeptRun, config: RunConfig, tmp_path: Path
) -> None:
    run.keep(0)
    put_back = copied(run.folder, tmp_path / "copy")
    run.write([make_event(make_query(2), name) for name in ("ann", "bob")])
    bundle = make_bundle(run.folder, 1, learned_through=14)
    assert [each.version for each in present(read_resumption(run.folder, config, None)).unserved]
    put_back()
    lacks = r"it ends with label event 12, and reward version 1 has learned up to 14; put back"
    with pytest.raises(InputError, match=lacks):
        read_resumption(run.folder, config, None)
    shutil.rmtree(bundle)
    read_resumption(run.folder, config, None)
    run.keep(10, learned_through=14)  # as the checkpoint says it, too
    with pytest.raises(InputError, match=lacks):
        read_resumption(run.folder, config, None)


def test_a_reward_that_was_served_and_is_gone_is_asked_for(run: KeptRun, config: RunConfig) -> None:
    run.keep(0)
    make_bundle(run.folder, 1, learned_through=6)
    served = make_bundle(run.folder, 2, learned_through=12)
    run.write([make_reward(version, ledger_seq=6 * version) for version in (1, 2)])
    assert present(present(read_resumption(run.folder, config, None)).reward).version == 2
    shutil.rmtree(served)
    with pytest.raises(MissingError, match=r"v000002: the reward version that the run served last"):
        read_resumption(run.folder, config, None)
    make_bundle(run.folder, 3, learned_through=12)  # which had it retired, before it was told of
    assert [each.version for each in present(read_resumption(run.folder, config, None)).unserved]


def damage(part: Path, how: str) -> None:
    share = part / "rank-0000.safetensors"
    if how == "half removed":
        (part / "manifest.json").unlink()
    elif how == "half copied":
        share.unlink()
    else:
        share.write_bytes(share.read_bytes()[:-1])


@pytest.mark.parametrize("how", ["half removed", "half copied", "cut short"])
def test_later_checkpoints_stay_where_the_chosen_one_is_not_whole(
    run: KeptRun, config: RunConfig, how: str
) -> None:
    for version in (0, 10, 20, 30):
        run.keep(version)
    damage(run.folder.policies / "v000020", how)
    with pytest.raises(BundleCorrupt, match=r"v000020.* has .*`andon resume RUN --from 10` goes"):
        read_resumption(run.folder, config, 20)
    assert present(read_resumption(run.folder, config, None)).checkpoint.policy_version == 30


def test_of_one_without_its_learners_part_it_is_said_which_there_are(
    run: KeptRun, config: RunConfig
) -> None:
    for version in (0, 10, 20):
        run.keep(version)
    shutil.rmtree(run.folder.policies / "v000010")  # the learner's died before it kept the next
    with pytest.raises(MissingError, match=r"no checkpoint of version 10; there are: 0, 20"):
        read_resumption(run.folder, config, 10)


async def test_where_a_learner_finds_it_is_not_what_was_written_the_one_before_is_named(
    run: KeptRun, config: RunConfig
) -> None:
    async def refuse(version: int, publish_as: int) -> None:
        raise BundleCorrupt(f"rank 1 of 2: v{version} as {publish_as}")

    run.keep(0)
    run.keep(10)
    learner = cast(Any, SimpleNamespace(resume=refuse))
    resumption = present(read_resumption(run.folder, config, None))
    with pytest.raises(BundleCorrupt, match=r"v10 as 10; `andon resume RUN --from 0` goes on"):
        await restored(learner, make_policy(0), resumption, run_checkpoints(run.folder))
