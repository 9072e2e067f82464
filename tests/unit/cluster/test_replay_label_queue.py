"""The label queue alone, of a recording that came late to the disk, as on a busy machine."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TypeVar

import pytest

from cluster.config_file import save_config
from cluster.recordings.config import RecordingConfig
from cluster.recordings.crossings import FIT, NEXT_FIT, REWARD_SERVED
from cluster.recordings.recorder import Recorder
from cluster.recordings.segment_files import FOLDER
from cluster.replay.label_queue import replay_label_queue
from cluster.replay.outcome import Window
from cluster.replay.recording import Recording
from cluster.run_folder import RunFolder
from label_queue.ledger.sql import SqlLedger
from label_queue.queue import LabelQueue
from protocol.fits import FitKind, FitRequest, RewardVersion
from tests.support.controller_world import small_config
from tests.support.labels import ManualClock, make_assignment, make_event, make_query, make_reward
from tests.support.messages import make_policy

T = TypeVar("T")

LATE_S = 0.4
"""After which the announcement of a reward is on record."""
EVERY_S = 30.0
NUM_BEFORE = 10


class RecordedQueue:
    """A queue whose fits and announcements are put on record, each when a test says so."""

    def __init__(self, folder: RunFolder) -> None:
        config = small_config({"warm": {"every_labels": 100, "every_s": EVERY_S}})
        save_config(config, folder.config)
        folder.update_state(run_id="run-1")
        self.clock = ManualClock()
        self.queue = LabelQueue(
            SqlLedger.open(folder.ledger, "run-1"),
            config.labels,
            config.label_schedule,
            run_id="run-1",
            seed=config.run.seed,
            clock=self.clock,
        )
        self._recorded_at = ManualClock()
        self._recorder = Recorder(
            folder.recordings / FOLDER,
            RecordingConfig(record=("labels",)),
            clock=self._recorded_at,
        )
        self.recording = Recording(folder=folder, config=config, policy_path=folder.path)

    async def label(self, numbers: range) -> None:
        for number in numbers:
            query = make_query(number, created_at=self.clock.now)
            event = make_event(query, received_at=self.clock.now)
            await self.queue.commits.write([query, make_assignment(query), event])

    async def order(self, kind: FitKind) -> FitRequest:
        loop = self.queue.policy_loop
        self._recorded_at.now = self.clock.now
        ask = loop.next_update if kind == "warm" else loop.next_refit
        return await self._recorder.through(NEXT_FIT, kind, ask, _as_it_is)

    async def fit(self, request: FitRequest, version: int) -> RewardVersion:
        """Put on record that a request was fitted, whatever becomes of it."""

        async def made() -> RewardVersion:
            return RewardVersion.answering(request, version=version, fit_seconds=0.1)

        return await self._recorder.through(FIT, request, made, _as_it_is)

    async def announce(self, version: RewardVersion, *, late_s: float) -> None:
        async def noted() -> None:
            await self.queue.policy_loop.reward_served(version)
            self._recorded_at.now = self.clock.now + late_s

        await self._recorder.through(REWARD_SERVED, version, noted, _as_it_is)

    async def close(self) -> None:
        self._recorder.close()
        await self.queue.close()


def _as_it_is(value: T) -> T:
    return value


@pytest.mark.parametrize("late_s", [0.0, LATE_S])
async def test_an_update_that_was_due_by_time_is_ordered_again(
    tmp_path: Path, late_s: float
) -> None:
    run = RecordedQueue(RunFolder.create(tmp_path / "run-1"))
    await run.label(range(NUM_BEFORE))
    refit = await run.order("refit")
    await run.announce(make_reward(1, ledger_seq=refit.ledger_seq), late_s=late_s)
    await run.label(range(NUM_BEFORE, NUM_BEFORE + 1))
    run.clock.now += EVERY_S
    assert (await run.order("warm")).ledger_seq == NUM_BEFORE + 1
    await run.close()
    outcomes = await asyncio.to_thread(
        lambda: list(replay_label_queue(run.recording, Window(), tolerance=0.0))
    )
    assert [outcome.what for outcome in outcomes] == [
        f"the fit at label event {NUM_BEFORE}",
        f"the fit at label event {NUM_BEFORE + 1}",
    ]
    assert [str(outcome.difference) for outcome in outcomes] == ["None", "None"]


async def test_a_version_that_replicas_refused_has_had_its_number(tmp_path: Path) -> None:
    run = RecordedQueue(RunFolder.create(tmp_path / "run-1"))
    await run.label(range(NUM_BEFORE))
    await run.announce(await run.fit(await run.order("refit"), 1), late_s=0.0)
    await run.label(range(NUM_BEFORE, NUM_BEFORE + 1))
    run.clock.now += EVERY_S
    await run.fit(await run.order("warm"), 2)
    await run.queue.policy_loop.set_progress(1_000, make_policy(1, 1_000))
    await run.label(range(NUM_BEFORE + 1, 2 * NUM_BEFORE))
    await run.fit(await run.order("refit"), 3)
    await run.close()

    def replayed(first: int, last: int) -> list[str]:
        window = Window(first=first, last=last)
        return [each.what for each in replay_label_queue(run.recording, window, tolerance=0.0)]

    for version, at in ((1, NUM_BEFORE), (2, NUM_BEFORE + 1), (3, 2 * NUM_BEFORE)):
        found = await asyncio.to_thread(replayed, version, version)
        assert found == [f"the fit at label event {at}"]
