"""The guard on sampler against trainer."""

from __future__ import annotations

import pytest

from cluster.guards import logprob_mismatch
from cluster.guards.logprob_mismatch import LogprobMismatchConfig, LogprobMismatchState


def trips(means: list[float | None], rounding: float | None = None) -> list[int]:
    state, found = LogprobMismatchState(), []
    for batch, mean in enumerate(means, 1):
        metrics = {} if rounding is None else {"rollout/rounding_mean": rounding}
        metrics |= {} if mean is None else {"rollout/logprob_mismatch_mean": mean}
        state, verdict = logprob_mismatch.judge(LogprobMismatchConfig(), state, metrics)
        if verdict is not None:
            assert f"{mean:.2f} nats a token" in verdict.reason
            found.append(batch)
    return found


@pytest.mark.parametrize("means", [[1e-6] * 50, [0.02] * 50, [0.3, 0.02] * 20, [None] * 9])
def test_arithmetic_and_a_single_batch_do_not_trip_it(means: list[float | None]) -> None:
    assert trips(means) == []


def test_two_batches_of_other_weights_do_whatever_is_absent_between() -> None:
    assert trips([0.01, 0.25, None, None, 0.25, 0.25]) == [5]


@pytest.mark.parametrize(("rounding", "tripped"), [(0.05, []), (0.04, [2, 4]), (0.0, [2, 4])])
def test_what_rounding_does_to_the_trainer_is_allowed_three_times(
    rounding: float, tripped: list[int]
) -> None:
    assert trips([0.14] * 4, rounding) == tripped
