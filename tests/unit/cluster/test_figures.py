"""Every headline figure against values worked out by hand."""

from __future__ import annotations

from cluster.report.figures import (
    episodes_at,
    first_refit_at,
    label_to_policy_latencies,
    labeler_records,
    last_part,
    mean_or_none,
    median_or_none,
    percentile_or_none,
)
from cluster.report.records import FirstSampleRecord, PolicyRecord, RewardRecord, RolloutRecord
from tests.support.synthetic_run import make_label, make_query


def policy(version: int, learned_through: int, created_at: float = 0.0) -> PolicyRecord:
    return PolicyRecord(
        version=version,
        episodes=128 * version,
        reward_version=1,
        learned_through=learned_through,
        restored_from=None,
        created_at=created_at,
    )


def reward(version: int, kind: str, served_at: float) -> RewardRecord:
    return RewardRecord(
        version=version,
        kind=kind,
        ledger_seq=10,
        labels_used=10,
        fit_seconds=1.0,
        served_at=served_at,
    )


def test_last_part_is_never_empty() -> None:
    assert last_part(list(range(20)), 10) == [18, 19]
    assert last_part([1.0, 2.0, 3.0], 10) == [3.0]
    assert last_part([1.0, 2.0, 3.0, 4.0], 3) == [3.0, 4.0]
    assert last_part([], 10) == []


def test_of_nothing_there_is_no_figure() -> None:
    assert mean_or_none([]) is None
    assert median_or_none([]) is None
    assert percentile_or_none([], 0.5) is None


def test_first_refit_is_the_first_fit_from_scratch() -> None:
    served = [reward(2, "warm", 12.0), reward(1, "refit", 10.0), reward(3, "refit", 30.0)]
    assert first_refit_at(served) == 10.0
    assert first_refit_at([]) is None


def test_latency_runs_from_receipt_to_the_first_sample_of_a_policy_that_learned_it() -> None:
    query = make_query("q")
    labels = [
        make_label(query, "a", 0, 100.0, seq=1),
        make_label(query, "b", 1, 105.0, seq=2),
        make_label(query, "c", 2, 110.0, seq=3),
    ]
    policies = [policy(1, 1), policy(2, 1), policy(3, 2)]
    samples = [FirstSampleRecord(version=v, sampled_at=t) for v, t in ((1, 130.0), (3, 150.0))]
    latencies = label_to_policy_latencies(labels, policies, samples)
    # Label 3 is learned by no policy yet.
    assert [each.seconds for each in latencies] == [30.0, 45.0]


def test_latency_of_a_version_that_no_actor_took_ends_at_the_next() -> None:
    label = make_label(make_query("q"), "a", 0, 100.0, seq=2)
    samples = [FirstSampleRecord(version=v, sampled_at=t) for v, t in ((1, 120.0), (3, 140.0))]
    (latency,) = label_to_policy_latencies(
        [label], [policy(1, 0), policy(2, 2), policy(3, 2)], samples
    )
    assert latency.seconds == 40.0


def test_a_skip_is_never_learned() -> None:
    skip = make_label(make_query("q"), "a", None, 100.0, seq=1)
    samples = [FirstSampleRecord(version=1, sampled_at=120.0)]
    assert label_to_policy_latencies([skip], [policy(1, 1)], samples) == []


def test_agreement_is_counted_by_pairs() -> None:
    shared, alone = make_query("shared"), make_query("alone")
    labels = [
        make_label(shared, "ada", 1, 1.0),
        make_label(shared, "ben", 1, 2.0),
        make_label(shared, "cem", 2, 3.0),
        make_label(alone, "ada", 0, 4.0),
        make_label(alone, "cem", None, 5.0),
    ]
    ada, ben, cem = labeler_records(labels)
    assert (ada.num_labels, ada.num_shared, ada.num_agreed) == (2, 2, 1)
    assert ben.agreement == 0.5
    assert (cem.agreement, cem.num_skipped) == (0.0, 1)


def test_a_labeler_nobody_shares_with_has_no_agreement() -> None:
    (record,) = labeler_records([make_label(make_query("q"), "ada", 1, 1.0)])
    assert record.agreement is None


def test_episodes_at_a_time() -> None:
    policies = [policy(1, 0, created_at=10.0), policy(2, 0, created_at=20.0)]
    assert [episodes_at(policies, time) for time in (5.0, 10.0, 19.0, 25.0)] == [0, 128, 128, 256]


def test_policy_lag_is_measured_from_the_policy_that_the_step_changed() -> None:
    rollout = RolloutRecord(
        step=6,
        episodes=768,
        rollout_id="t-1",
        purpose="train",
        prompt="",
        text="",
        score=0.0,
        reward_version=1,
        oldest_version=3,
        actor_id="rollout-0",
        started_at=0.0,
        finished_at=1.0,
    )
    # Step 6 changes version 5.
    assert rollout.policy_lag == 2
