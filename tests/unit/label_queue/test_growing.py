"""What a label costs the event loop does not depend on how many came before it."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest

from label_queue.figures import online
from label_queue.fitting.retraining import make_request
from label_queue.folds.dataset import exclusions, exclusions_sha256
from label_queue.folds.event_log import EventLog
from label_queue.percentile import percentile
from label_queue.queue import LabelQueue
from protocol.fits import DatasetRules, FitRequest, RewardVersion
from protocol.labels import LabelEvent
from protocol.seq_ranges import numbers_in
from tests.support.labels import ManualClock, make_config, make_provenance
from tests.unit.label_queue.conftest import MakeQueue
from tests.unit.label_queue.labeling import answer_orders, label

LOOP = threading.main_thread()
EVERYTHING = EventLog.__iter__


def off_loop(events: EventLog) -> Iterator[LabelEvent]:
    """Give all events; nobody may go through them on the event loop."""
    assert threading.current_thread() is not LOOP, "all of it, on the event loop"
    return EVERYTHING(events)


def served(request: FitRequest, version: int) -> RewardVersion:
    return RewardVersion.answering(request, version=version, fit_seconds=1.0)


@pytest.fixture
async def labelled(make_queue: MakeQueue) -> LabelQueue:
    """Twelve labels of two people, a refit of ten of them, and a policy trained on that."""
    queue = make_queue(make_config(validation_share=0.0))
    for name in ("ann", "bob"):
        await queue.owner.add_labeler(name)
    await answer_orders(queue)
    await label(queue, 6, "ann")
    await label(queue, 4, "bob")
    refit = await queue.policy_loop.next_refit()
    await queue.policy_loop.reward_served(served(refit, 1))
    await queue.commits.write([make_provenance(0), make_provenance(1, 1)])
    await queue.policy_loop.first_sampled(1, 2_000.0)
    return queue


async def test_nobody_goes_through_all_labels_on_the_event_loop(
    labelled: LabelQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(EventLog, "__iter__", off_loop)
    await label(labelled, 3, "bob")
    await labelled.policy_loop.next_update()
    await labelled.policy_loop.online_stats()
    await labelled.policy_loop.coverage()
    await labelled.policy_loop.lost_votes(4)
    await labelled.policy_loop.known_pairs(4, 2)
    await labelled.owner.overview()
    await labelled.owner.preview_exclusion("ann", 0)
    await labelled.owner.exclude("ann", 0, "asleep")
    assert (await labelled.policy_loop.next_refit()).is_forced


async def test_percentiles_over_the_whole_run_are_not_taken_on_the_event_loop(
    labelled: LabelQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    def taken(values: Sequence[float], share: float) -> float:
        assert threading.current_thread() is not LOOP, "over all of it, on the event loop"
        return percentile(values, share)

    monkeypatch.setattr(online, "percentile", taken)
    stats = await labelled.policy_loop.online_stats()
    assert stats["online/label_to_policy_latency_p50"] == 1_000.0
    assert (await labelled.owner.overview()).progress.label_to_policy_p50_s == 1_000.0


async def test_a_fit_is_of_the_training_set_as_the_ledger_has_it(
    labelled: LabelQueue, clock: ManualClock
) -> None:
    """Found by what is kept as labels come, it is what a fold over all of the ledger gives."""
    clock.now += 1.0
    await label(labelled, 3, "bob")
    update = await labelled.policy_loop.next_update()
    view, quality = labelled.state.view(), make_config().quality
    [live] = view.rewards
    wanted = make_request(
        "warm",
        view.dataset(view.last_seq, quality),
        seq=view.last_seq,
        learned=frozenset(numbers_in(live.learned or ())),
        exclusions_sha256=exclusions_sha256(exclusions(view.events, DatasetRules())),
        replay=make_config().warm.replay,
        seed=1,
        quality=quality,
        gold=labelled.state.history.standings.gold_answers(),
    )
    assert update == replace(wanted, goes_on_from=1)
    assert update.labels_used == 13
    await labelled.owner.exclude("ann", 0, "asleep")
    refit = await labelled.policy_loop.next_refit()
    view = labelled.state.view()
    assert refit.exclusions_sha256 == exclusions_sha256({"ann": 0})
    assert [each.seq for each in refit.comparisons] == [
        each.seq for each in view.dataset(view.last_seq, quality)
    ]


async def test_newest_versions_are_known_without_a_look_at_all(labelled: LabelQueue) -> None:
    state = labelled.state
    assert (state.policy_version, state.reward_version) == (1, 1)
    assert state.doubts.reliability == dict(state.rewards[1].labeler_weights)


async def test_what_everybody_weighed_is_kept_of_the_live_version_and_where_no_list_is_said(
    labelled: LabelQueue,
) -> None:
    rewards, first = labelled.state.rewards, labelled.state.rewards[1]
    weights = (("ann", 0.75),)
    second = replace(first, version=2, labeler_weights=weights, learned=((1, 3),))
    for _ in range(2):  # told of again, it is the same
        await labelled.policy_loop.reward_served(second)
        assert [rewards[1].labeler_weights, rewards[2].labeler_weights] == [(), weights]
    unsaid = replace(first, version=3, labeler_weights=weights, learned=None)
    await labelled.policy_loop.reward_served(unsaid)
    await labelled.policy_loop.reward_served(replace(second, version=4))
    assert [each.labeler_weights for each in rewards.values()] == [(), (), weights, weights]
    assert rewards[1].learned == first.learned
    assert labelled.state.doubts.reliability == dict(weights)
