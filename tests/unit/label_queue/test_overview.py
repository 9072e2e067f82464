"""What the owner sees of a run: all at once, and again at every change."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from typing import NoReturn

import pytest

from label_queue.config import IntakeConfig, LeaseConfig
from label_queue.folds.event_log import EventLog
from label_queue.oversight.judgement import Evidence, history
from label_queue.queue import LabelQueue
from label_queue.schedule import LabelSchedule
from label_queue.state import LabelState
from protocol.errors import QueueClosed, TooFast
from tests.support.cord import release_shown
from tests.support.hand_made_ledger import fill
from tests.support.labels import (
    ManualClock,
    make_assignment,
    make_config,
    make_event,
    make_provenance,
    make_query,
)
from tests.support.memory_ledger import MemoryLedger
from tests.unit.label_queue.conftest import MakeQueue
from tests.unit.label_queue.labeling import answer_orders, choose, label


async def test_the_overview_says_how_labelling_stands(
    make_queue: MakeQueue, ledger: MemoryLedger, clock: ManualClock
) -> None:
    fill(ledger)
    queue = make_queue()
    await queue.owner.add_labeler("carl")
    await queue.owner.add_labeler("owner", "owner")
    clock.now += 20.0
    seen = await queue.owner.overview()
    assert (seen.run_id, seen.at, seen.is_closed) == ("run-1", clock.now, False)
    assert not seen.cord.is_pulled
    progress = seen.progress
    assert (progress.episodes, progress.policy_version, progress.reward_version) == (30, 3, 2)
    assert (progress.labels_received, progress.labels_held) == (11, 0)
    # l(30) of 10 before and 30 during 100 episodes: 10 + ⌊30·(1 − 0.7²)⌋.
    assert (progress.labels_scheduled, progress.labels_total) == (25, 40)
    assert progress.label_latency_p50_s == 10.0
    assert progress.coverage is None
    rows = {row.labeler_id: row for row in seen.labelers}
    assert list(rows) == ["ann", "bob", "carl"]
    assert [rows[name].labels for name in rows] == [8, 3, 0]
    assert rows["ann"].weight_share == pytest.approx(8 / 11)
    assert (rows["carl"].state, rows["carl"].weight_share) == ("active", 0.0)
    assert rows["carl"].gold_accuracy == 0.8
    assert seen.disagreements == ()
    assert [(each.received, each.scheduled) for each in seen.history][-1] == (11, 25)


async def test_the_overview_names_whom_the_metric_counts_as_active(
    make_queue: MakeQueue, clock: ManualClock
) -> None:
    queue = make_queue(make_config(lease=LeaseConfig(first_s=600.0)))
    for name in ("absent", "ann", "bob"):
        await queue.owner.add_labeler(name)
    await answer_orders(queue)

    async def active() -> tuple[str, ...]:
        seen = (await queue.owner.overview()).active
        assert len(seen) == (await queue.policy_loop.stats())["labelers/active"]
        return seen

    assert await active() == ()
    await label(queue, 2, "bob")
    assert await queue.people.next_task("ann", 0.0) is not None
    assert await active() == ("ann", "bob")
    clock.now += 300.0
    assert await active() == ("ann",)  # bob's labels are too old, ann still holds hers


def test_the_history_counts_labels_and_what_was_due_at_each_time() -> None:
    config = make_config(total=40, initial=10)
    schedule = LabelSchedule.of(config, num_episodes=100, mode="online")
    state = LabelState(config, schedule, ManualClock())
    for version, at in ((0, 90.0), (1, 112.0), (2, 124.0)):
        state.apply(replace(make_provenance(version), episodes=10 * version, created_at=at))
    assert history(Evidence.of(state), schedule) == ()
    for i in range(3):
        query = make_query(i)
        state.apply(query)
        state.apply(make_assignment(query, "ann"))
        state.apply(make_event(query, "ann", seq=i + 1, received_at=100.0 + 10.0 * i))
    moments = {round(each.at, 1): each for each in history(Evidence.of(state), schedule)}
    assert len(moments) == 120
    assert min(moments) == 100.0
    assert max(moments) == 124.0
    # l(0) = 10, l(10) = 10 + ⌊30·(1 − 0.9²)⌋ = 15, l(20) = 10 + ⌊30·(1 − 0.8²)⌋ = 20.
    counted = {at: (each.received, each.scheduled) for at, each in moments.items()}
    assert counted[100.0] == (1, 10)
    assert counted[124.0] == (3, 20)
    assert sorted(set(counted.values())) == [(1, 10), (2, 10), (2, 15), (3, 15), (3, 20)]


def _refuse(events: EventLog) -> NoReturn:
    """Events may be looked up one by one, and not gone through."""
    raise AssertionError(f"all {len(events)} events are gone through")


async def test_the_overview_goes_through_no_labels(
    make_queue: MakeQueue, ledger: MemoryLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(ledger)
    queue = make_queue()
    queue.take_in((), [(version, 1_100.0) for version in (1, 2, 3)])
    wanted = await queue.owner.overview()
    again = make_queue()
    again.take_in((), [(version, 1_100.0) for version in (1, 2, 3)])
    monkeypatch.setattr(EventLog, "__iter__", _refuse)
    assert await again.owner.overview() == wanted
    assert wanted.progress.label_to_policy_p50_s == pytest.approx(90.0)


async def test_who_asks_too_often_is_flagged(make_queue: MakeQueue, ledger: MemoryLedger) -> None:
    fill(ledger)
    queue = make_queue(make_config(intake=IntakeConfig(requests_per_s=1.0, request_burst=20)))
    while queue.state.access.num_refused["ann"] < 20:
        with contextlib.suppress(TooFast):
            await queue.people.me("ann")
    rows = {row.labeler_id: row for row in (await queue.owner.overview()).labelers}
    assert rows["ann"].flags == ("rate",)
    assert rows["bob"].flags == ()
    with pytest.raises(TooFast, match="wait 1 s"):
        await queue.people.held_tasks("ann")


async def test_disagreements_are_shown_side_by_side_newest_first(make_queue: MakeQueue) -> None:
    queue = make_queue(make_config(overlap_share=0.9, overlap_labelers=2))
    for name in ("ann", "bob"):
        await queue.owner.add_labeler(name)
    await answer_orders(queue)
    overlap = [q for q in queue.state.board.queries.values() if q.num_wanted == 2]
    for name, choices in (("ann", (0, 1, 2, 3)), ("bob", (0, 2, None, 3))):
        for index in choices:
            await choose(queue, name, index)
    disputed = (await queue.owner.overview()).disagreements
    asked = [entry.query_id for entry in disputed]
    assert len(asked) == 2
    assert set(asked) <= {query.query_id for query in overlap}
    newest = disputed[0]
    query = queue.state.board.queries[newest.query_id]
    assert [vote.labeler_id for vote in newest.votes] == ["ann", "bob"]
    assert newest.votes[0].choice == query.candidates[2].candidate_id
    assert newest.votes[1].choice is None
    assert [each.text for each in newest.candidates] == [each.text for each in query.candidates]


async def test_waiting_for_an_overview_ends_at_a_change_and_when_time_is_up(
    queue: LabelQueue, clock: ManualClock
) -> None:
    queue.owner._oversight._burst_s = 0.0
    first = await queue.owner.overview()
    waiting = asyncio.create_task(queue.owner.wait_for_overview(first.at, 30.0))
    await asyncio.sleep(0)
    assert not waiting.done()
    clock.now += 1.0
    await queue.owner.pull_cord("stop")
    changed = await waiting
    assert (changed.at, changed.cord.is_pulled) == (first.at + 1.0, True)
    # What changed before it was asked for is told at once, and to every page the same.
    assert await queue.owner.wait_for_overview(first.at, 30.0) is changed
    clock.now += 1.0
    assert (await queue.owner.wait_for_overview(changed.at, 0.0)).at == clock.now


async def test_bursts_of_changes_make_few_overviews(queue: LabelQueue, clock: ManualClock) -> None:
    first = await queue.owner.overview()
    await queue.owner.pull_cord("stop")
    waiting = asyncio.create_task(queue.owner.wait_for_overview(first.at, 30.0))
    await asyncio.sleep(0)
    await release_shown(queue, "never mind")
    assert not waiting.done()
    waiting.cancel()


async def test_waiting_for_an_overview_ends_with_the_queue(queue: LabelQueue) -> None:
    seen = await queue.owner.overview()
    waiting = asyncio.create_task(queue.owner.wait_for_overview(seen.at, 30.0))
    await asyncio.sleep(0)
    await queue.close()
    with pytest.raises(QueueClosed):
        await waiting


async def test_labelers_are_judged_again_at_once_when_a_standing_changed(
    queue: LabelQueue, clock: ManualClock
) -> None:
    await queue.owner.add_labeler("bob")
    await answer_orders(queue)
    await label(queue, 5, "bob")
    await queue.owner.overview()
    queue.owner._oversight._judge_again_at = float("inf")
    await label(queue, 1, "bob")
    [row] = (await queue.owner.overview()).labelers
    assert (row.labels, row.state) == (5, "active")
    await queue.owner.exclude("bob", 0, "at random")
    [row] = (await queue.owner.overview()).labelers
    assert (row.labels, row.state, row.excluded_from) == (6, "excluded", 0)
