"""Every headline figure against values worked out by hand."""

from __future__ import annotations

from cluster.recordings.records import RolloutRecord
from cluster.report.figures import (
    last_part,
    mean_or_none,
    median_or_none,
    percentile_or_none,
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


def test_policy_lag_is_measured_from_the_policy_that_the_step_changed() -> None:
    rollout = RolloutRecord(
        step=6,
        episodes=768,
        rollout_id="t-1",
        purpose="train",
        prompt="",
        text="",
        num_kept=1,
        is_complete=True,
        score=0.0,
        reward_version=1,
        oldest_version=3,
        newest_version=3,
        actor_id="rollout-0",
        started_at=0.0,
        finished_at=1.0,
    )
    # Step 6 changes version 5.
    assert rollout.policy_lag == 2
