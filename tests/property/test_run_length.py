"""The gold tests' promises, for whatever accuracies and run lengths are asked for."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from label_queue.quality.run_length import (
    THRESHOLD_STEP,
    Steps,
    drift_threshold,
    run_length,
    sequential_test,
    share_stopped,
    share_suspended,
    threshold_for,
    turning_accuracy,
)
from label_queue.quality_config import QualityConfig


@st.composite
def steps(draw: st.DrawFn) -> Steps:
    bad = draw(st.floats(0.2, 0.7))
    good = draw(st.floats(bad + 0.15, 0.97))
    return Steps.of(QualityConfig(good_accuracy=good, bad_accuracy=bad, drift_threshold=4.0), 2)


THRESHOLDS = st.floats(0.5, 10.0)
ACCURACIES = st.floats(0.0, 0.99)


@settings(deadline=None, max_examples=40)
@given(steps(), st.floats(0.3, 1.0), st.floats(10.0, 1e5))
def test_a_threshold_holds_the_run_length_it_was_asked_for_and_no_more(
    steps: Steps, share: float, target: float
) -> None:
    turning = turning_accuracy(steps)
    accuracy = turning + share * (0.98 - turning)
    threshold = threshold_for(steps, accuracy, target)
    assert run_length(steps, accuracy, threshold) >= target
    if threshold > THRESHOLD_STEP:
        assert run_length(steps, accuracy, threshold - THRESHOLD_STEP) < target


@settings(deadline=None)
@given(steps(), THRESHOLDS, ACCURACIES, ACCURACIES)
def test_who_is_better_is_stopped_later(
    steps: Steps, threshold: float, one: float, other: float
) -> None:
    worse, better = sorted((one, other))
    assert run_length(steps, worse, threshold) <= run_length(steps, better, threshold) * (1 + 1e-9)


@settings(deadline=None)
@given(steps(), THRESHOLDS, THRESHOLDS, ACCURACIES)
def test_a_higher_threshold_stops_later(
    steps: Steps, one: float, other: float, accuracy: float
) -> None:
    low, high = sorted((one, other))
    assert run_length(steps, accuracy, low) <= run_length(steps, accuracy, high) * (1 + 1e-9)


@settings(deadline=None)
@given(steps(), THRESHOLDS, ACCURACIES)
def test_the_shares_stopped_rise_and_their_mean_is_the_run_length(
    steps: Steps, threshold: float, accuracy: float
) -> None:
    shares = share_stopped(steps, accuracy, threshold, 400)
    assert (shares[1:] >= shares[:-1] - 1e-12).all()
    assert -1e-12 <= shares[0] <= shares[-1] <= 1.0 + 1e-9
    if shares[-1] > 1.0 - 1e-10:
        # E[answers] = Σ P(more than n answers)
        mean = 1.0 + float((1.0 - shares).sum())
        assert mean == pytest.approx(run_length(steps, accuracy, threshold), rel=1e-6)


@settings(deadline=None, max_examples=25)
@given(
    st.floats(0.75, 0.97),
    st.floats(0.2, 0.6),
    st.floats(0.51, 1.0),
    st.floats(100.0, 1e5),
    st.floats(10.0, 1e4),
)
def test_every_config_that_is_taken_holds_what_it_promises(
    good: float, bad: float, share: float, good_run: float, fair_run: float
) -> None:
    accuracies = {"good_accuracy": good, "bad_accuracy": bad}
    turning = turning_accuracy(Steps.of(QualityConfig(**accuracies, drift_threshold=4.0), 2))
    config = QualityConfig(
        **accuracies,
        fair_accuracy=turning + share * (good - turning),
        good_run_length=good_run,
        fair_run_length=fair_run,
    )
    steps, threshold = Steps.of(config, 2), drift_threshold(config, 2)
    assert run_length(steps, config.good_accuracy, threshold) >= good_run
    assert run_length(steps, config.fair_accuracy, threshold) >= fair_run


@settings(deadline=None)
@given(st.floats(0.005, 0.3), st.floats(0.005, 0.3), ACCURACIES)
def test_walds_bounds_hold_together(alpha: float, beta: float, accuracy: float) -> None:
    config = QualityConfig(false_alarm=alpha, missed_alarm=beta)
    steps = Steps.of(config, 2)
    called_bad = sequential_test(steps, config.good_accuracy, config).ends_high
    called_good = 1.0 - sequential_test(steps, config.bad_accuracy_of(2), config).ends_high
    # Wald 1945, eq. 3.27: of the two errors at most one is above its bound, their sum never.
    assert called_bad + called_good <= alpha + beta + 1e-9
    assert called_bad <= alpha / (1 - beta) + 1e-9
    assert called_good <= beta / (1 - alpha) + 1e-9
    suspended = share_suspended(config, 2, accuracy, 60)
    assert (suspended[1:] >= suspended[:-1] - 1e-12).all()
    assert suspended[-1] <= 1.0 + 1e-9
