"""A version that replicas would not take: its bundle says so, and nobody goes on from it."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest

from protocol.errors import NotFinite, VersionError
from protocol.fits import RewardVersion
from reward_service.announcer import Announcer
from reward_service.retention import (
    WITHDRAWN_FILE,
    bundle_path,
    is_withdrawn,
    newest_bundle,
    retire_bundles,
    withdraw_bundle,
)
from tests.support.labels import make_fit

pytestmark = pytest.mark.timeout(60)


def version(root: Path, number: int) -> RewardVersion:
    folder = bundle_path(root, number)
    folder.mkdir(parents=True, exist_ok=True)
    made = RewardVersion.answering(make_fit(), version=number, fit_seconds=0.1)
    return replace(made, path=str(folder), sha256=f"{number}")


def make_announcer(served: RewardVersion) -> Announcer:
    return Announcer(
        heartbeat_timeout_s=10.0,
        now=lambda: 0.0,
        served=served,
        note_withdrawn=lambda version, why: withdraw_bundle(Path(version.path), why),
    )


async def test_what_a_replica_refuses_is_passed_over_by_whoever_looks_for_the_newest(
    tmp_path: Path,
) -> None:
    served, refused = version(tmp_path, 5), version(tmp_path, 6)
    announcer = make_announcer(served)
    assert newest_bundle(tmp_path) == bundle_path(tmp_path, 6)

    swap = asyncio.ensure_future(announcer.swap(refused))
    assert await announcer.next_version("a", served) == refused
    await announcer.failed(6, NotFinite("scores a sequence as NaN"))
    with pytest.raises(NotFinite):
        await swap

    assert newest_bundle(tmp_path) == bundle_path(tmp_path, 5)
    noted = json.loads((bundle_path(tmp_path, 6) / WITHDRAWN_FILE).read_text())
    assert noted == {"error": "NotFinite", "why": "scores a sequence as NaN"}
    assert announcer.served == served


async def test_what_is_served_is_not_withdrawn_by_a_replica_that_tells_late(
    tmp_path: Path,
) -> None:
    served = version(tmp_path, 5)
    announcer = make_announcer(served)
    poll = asyncio.ensure_future(announcer.next_version("a", served))
    await asyncio.sleep(0)
    await announcer.failed(5, NotFinite("scores a sequence as NaN"))
    await announcer.swap(served)
    with pytest.raises(VersionError):
        await announcer.swap(version(tmp_path, 4))
    assert not is_withdrawn(bundle_path(tmp_path, 5))
    assert not is_withdrawn(bundle_path(tmp_path, 4))
    poll.cancel()


async def test_what_led_to_a_refused_version_is_withdrawn_by_hand_and_its_bundle_says_so(
    tmp_path: Path,
) -> None:
    served, refit = version(tmp_path, 5), version(tmp_path, 6)
    announcer = make_announcer(served)
    for each in (served, refit, refit):
        await announcer.withdraw(each, NotFinite("its update scores a sequence as NaN"))
    assert newest_bundle(tmp_path) == bundle_path(tmp_path, 5)
    noted = json.loads((bundle_path(tmp_path, 6) / WITHDRAWN_FILE).read_text())
    assert noted == {"error": "NotFinite", "why": "its update scores a sequence as NaN"}


def test_withdrawn_bundles_take_no_place_of_those_that_are_kept(tmp_path: Path) -> None:
    for number in range(1, 7):
        version(tmp_path, number)
    for number in (1, 4, 5):
        withdraw_bundle(bundle_path(tmp_path, number), NotFinite("a NaN"))
    retire_bundles(tmp_path, 2)
    kept = [bundle_path(tmp_path, number) for number in (3, 4, 5, 6)]
    assert sorted(tmp_path.iterdir()) == kept
    retire_bundles(tmp_path, 2)
    assert sorted(tmp_path.iterdir()) == kept


def test_of_no_bundle_nothing_is_the_newest(tmp_path: Path) -> None:
    assert newest_bundle(tmp_path / "reward") is None
    version(tmp_path, 1)
    retire_bundles(tmp_path, 1)
    assert newest_bundle(tmp_path) == bundle_path(tmp_path, 1)
    assert not is_withdrawn(bundle_path(tmp_path, 2))
