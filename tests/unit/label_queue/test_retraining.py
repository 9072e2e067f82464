"""Which fit is due, and what it is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from label_queue.config import WarmConfig
from label_queue.fitting.retraining import RetrainingPlan, make_request
from label_queue.folds.dataset import as_comparison
from label_queue.quality_config import DEFAULT_QUALITY, QualityConfig
from label_queue.schedule import LabelSchedule
from label_queue.simulated.config import LabelerProfile
from learners.comparisons import bootstrap_counts
from protocol.fits import Comparison, FitKind, FitRequest
from tests.support.estimators import weight_shares
from tests.support.labels import make_event, make_query
from tests.support.simulated_labels import ADVERSARIAL, CAREFUL, RANDOM, simulate_comparisons

ONLINE = LabelSchedule(total=40, initial=10, num_episodes=100, refits=3)  # at 10, 20, 30
WARM = WarmConfig(every_labels=4, every_s=60.0, replay=1.5)


def test_nothing_is_due_before_the_first_refit_point() -> None:
    plan = RetrainingPlan(ONLINE, WARM)
    assert not plan.is_refit_due(9)
    assert plan.update_due_in_s(9, now=1e9) is None
    assert plan.is_refit_due(10)


def test_updates_come_by_count_or_by_time() -> None:
    plan = RetrainingPlan(ONLINE, WARM)
    plan.fitted("refit", labels=10, now=0.0)
    assert plan.update_due_in_s(0, now=1e9) is None
    assert plan.update_due_in_s(3, now=50.0) == 10.0
    assert plan.update_due_in_s(3, now=60.0) == 0.0
    assert plan.update_due_in_s(4, now=0.0) == 0.0
    plan.fitted("warm", labels=14, now=5.0)
    assert plan.update_due_in_s(3, now=5.0) == 60.0


def test_an_update_by_time_is_due_in_time_though_the_clock_was_set_back() -> None:
    plan = RetrainingPlan(ONLINE, WARM)
    plan.fitted("refit", labels=10, now=3_600.0)
    assert plan.update_due_in_s(1, now=0.0) == 60.0
    assert plan.update_due_in_s(1, now=60.0) == 0.0


def test_a_refit_makes_up_for_points_passed_during_a_fit_and_updates_go_on_meanwhile() -> None:
    plan = RetrainingPlan(ONLINE, WARM)
    plan.fitted("refit", labels=10, now=0.0)
    assert plan.is_refit_due(31)
    assert plan.update_due_in_s(21, now=0.0) == 0.0
    plan.fitted("warm", labels=35, now=0.0)
    assert plan.is_refit_due(35)
    plan.fitted("refit", labels=31, now=0.0)
    assert not plan.is_refit_due(39)
    assert plan.update_due_in_s(8, now=0.0) == 0.0


def test_updates_can_be_turned_off() -> None:
    plan = RetrainingPlan(ONLINE, WarmConfig(every_labels=0))
    plan.fitted("refit", labels=10, now=0.0)
    assert plan.update_due_in_s(9, now=1e9) is None


def test_offline_the_reward_is_frozen_after_its_one_fit() -> None:
    offline = LabelSchedule(total=40, initial=40, num_episodes=100, refits=3)
    plan = RetrainingPlan(offline, WARM)
    assert not plan.is_refit_due(39)
    plan.fitted("refit", labels=40, now=0.0)
    assert not plan.is_refit_due(45)
    assert plan.update_due_in_s(5, now=1e9) is None
    assert not plan.is_refit_due(39)  # one was taken back, and another is asked for
    assert plan.is_refit_due(40)
    plan.fitted("refit", labels=40, now=0.0)
    assert not plan.is_refit_due(40)


def _dataset(count: int) -> list[Comparison]:
    events = [(make_query(i), make_event(make_query(i), seq=i + 1)) for i in range(count)]
    return [c for query, event in events if (c := as_comparison(query, event)) is not None]


def _request_seqs(kind: FitKind, seed: int = 0) -> list[int]:
    request = make_request(
        kind,
        _dataset(20),
        seq=20,
        learned=range(1, 17),
        exclusions_sha256="",
        replay=1.5,
        seed=seed,
    )
    assert request.labels_used == 20
    assert [name for name, _ in request.labeler_weights] == ["ann"]
    return [comparison.seq for comparison in request.comparisons]


def test_a_refit_learns_all_labels() -> None:
    assert _request_seqs("refit") == list(range(1, 21))


def test_a_warm_update_learns_the_new_and_replays_some_of_the_old() -> None:
    seqs = _request_seqs("warm")
    assert seqs[-4:] == [17, 18, 19, 20]
    assert len(seqs) == 4 + 6
    assert len(set(seqs)) == len(seqs)
    assert seqs == sorted(seqs)


def test_replay_depends_on_seed_and_sequence_alone() -> None:
    assert _request_seqs("warm") == _request_seqs("warm")
    assert _request_seqs("warm") != _request_seqs("warm", seed=1)


# --- weights, and labels taken back ------------------------------------------------------------


def _ledger(labelers: dict[str, LabelerProfile], seed: int) -> list[Comparison]:
    return simulate_comparisons(labelers, 400, num_candidates=4, seed=seed)


def _full_request(dataset: Sequence[Comparison], quality: QualityConfig) -> FitRequest:
    return make_request(
        "refit",
        dataset,
        seq=len(dataset),
        exclusions_sha256="",
        replay=0.0,
        seed=1,
        quality=quality,
    )


def test_after_an_exclusion_the_refit_is_that_of_a_ledger_without_the_labeler() -> None:
    good = {f"good-{i}": CAREFUL for i in range(6)}
    everything = _ledger({**good, "bad": RANDOM}, seed=1)
    left = [each for each in everything if each.labeler_id != "bad"]
    # As if they had never been there: all that comes after has other numbers.
    never = [replace(each, seq=number) for number, each in enumerate(left, start=1)]
    excluded = _full_request(left, DEFAULT_QUALITY)
    without = _full_request(never, DEFAULT_QUALITY)
    assert excluded.labeler_weights == without.labeler_weights
    assert [replace(c, seq=0) for c in excluded.comparisons] == [
        replace(c, seq=0) for c in without.comparisons
    ]
    # What the trainer itself derives from the comparisons.
    assert torch.equal(
        bootstrap_counts(excluded.comparisons, 3, 1), bootstrap_counts(without.comparisons, 3, 1)
    )


def test_reliabilities_weigh_unless_they_are_switched_off() -> None:
    labelers = {**{f"good-{i}": CAREFUL for i in range(3)}, "bad": RANDOM, "worse": ADVERSARIAL}
    dataset = _ledger(labelers, seed=2)
    weights = dict(_full_request(dataset, DEFAULT_QUALITY).labeler_weights)
    assert list(weights) == sorted(weights)
    assert weights["worse"] < weights["bad"] < weights["good-0"] <= 1.0
    even = _full_request(dataset, DEFAULT_QUALITY.model_copy(update={"weigh_reliability": False}))
    assert set(dict(even.labeler_weights).values()) == {1.0}


def test_of_six_nobody_carries_more_than_a_quarter_of_a_fit() -> None:
    busy = simulate_comparisons({"busy": CAREFUL}, 400, overlap=0.0, seed=4)
    others = _ledger({f"good-{i}": CAREFUL for i in range(5)}, seed=4)
    dataset = [replace(c, query_id=f"b{c.query_id}") for c in busy] + others
    request = _full_request(dataset, DEFAULT_QUALITY)
    shares = weight_shares(request.comparisons, dict(request.labeler_weights))
    assert max(shares.values()) <= 0.25
    assert request.labels_used == len(request.comparisons) < len(dataset)


def test_one_who_clicks_at_random_takes_no_good_label_from_a_fit() -> None:
    people = {**{f"good-{i}": CAREFUL for i in range(4)}, "clicker": RANDOM}
    dataset = _ledger(people, seed=4)
    request = _full_request(dataset, DEFAULT_QUALITY)
    assert dict(request.labeler_weights)["clicker"] < DEFAULT_QUALITY.doubt_below
    assert len(request.comparisons) == len(dataset)


def test_a_warm_update_learns_labels_that_were_held_when_they_came() -> None:
    request = make_request(
        "warm",
        _dataset(20),
        seq=20,
        learned=set(range(1, 19)) - {3, 5},
        exclusions_sha256="",
        replay=0.0,
        seed=0,
    )
    assert [comparison.seq for comparison in request.comparisons] == [3, 5, 19, 20]


def test_a_warm_update_learns_what_the_cap_left_out_once_there_is_room() -> None:
    busy = simulate_comparisons({"busy": CAREFUL}, 400, overlap=0.0, seed=4)
    others = _ledger({f"good-{i}": CAREFUL for i in range(5)}, seed=4)
    dataset = [
        replace(c, query_id=f"{c.query_id}-{number}", seq=number)
        for number, c in enumerate([*busy, *others], start=1)
    ]
    even = DEFAULT_QUALITY.model_copy(update={"weigh_reliability": False})
    first = _full_request(dataset[:-200], even)
    learned = {each.seq for each in first.comparisons}
    left_out = {each.seq for each in dataset[:-200]} - learned
    assert left_out
    warm = make_request(
        "warm",
        dataset,
        seq=len(dataset),
        learned=learned,
        exclusions_sha256="",
        replay=0.0,
        seed=0,
        quality=even,
    )
    taken = {each.seq for each in warm.comparisons}
    assert taken & left_out
    assert taken.isdisjoint(learned)
    assert warm.labels_used == len(learned | taken)


def test_a_refit_is_forced_once_something_was_learned_and_no_update_comes_before_it() -> None:
    plan = RetrainingPlan(ONLINE, WARM)
    assert not plan.is_refit_due(9, is_forced=True)
    plan.fitted("refit", labels=10, now=0.0)
    assert plan.is_refit_due(10, is_forced=True)
    assert plan.update_due_in_s(9, now=1e9, is_forced=True) is None
    offline = LabelSchedule(total=40, initial=40, num_episodes=100, refits=3)
    frozen = RetrainingPlan(offline, WARM)
    frozen.fitted("refit", labels=40, now=0.0)
    assert frozen.is_refit_due(30, is_forced=True)
