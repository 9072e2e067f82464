"""The two guards on the measured KL, on the steps of a clean run and of broken ones."""

from __future__ import annotations

import random

import pytest

from cluster.guards import kl_runaway, kl_sign
from cluster.guards.kl_runaway import KLRunawayConfig, KLRunawayState
from cluster.guards.kl_sign import KLSignConfig, KLSignState
from cluster.guards.verdict import Verdict

CLEAN = (0.0, 0.0, 0.31, 1.07, 1.71, 3.01, 4.28, 5.16, 5.35, 5.99, 8.17, 10.76, 9.9, 8.6, 8.1)
"""Mean KL of the first steps of a demo run, target 8 nats."""
BATCH = 128


def signs(
    means: list[float] | tuple[float, ...], std: float, batch_size: int = BATCH
) -> list[Verdict | None]:
    state, verdicts = KLSignState(), []
    for mean in means:
        metrics = {"kl/reference_mean": mean, "kl/reference_std": std}
        state, verdict = kl_sign.judge(KLSignConfig(), state, metrics, batch_size)
        verdicts.append(verdict)
    return verdicts


def first(verdicts: list[Verdict | None]) -> int | None:
    return next((step for step, verdict in enumerate(verdicts, 1) if verdict is not None), None)


def test_the_sign_of_a_clean_run_is_not_doubted() -> None:
    assert first(signs(CLEAN, std=5.0)) is None


def test_a_flipped_sign_is_found_while_the_policy_has_hardly_moved() -> None:
    verdicts = signs([-mean for mean in CLEAN], std=3.0)
    step = first(verdicts)
    assert step == 5  # the means of 5 steps are −0.62 ± 0.12
    found = verdicts[step - 1]
    assert found is not None
    assert found.figures["mean"] == pytest.approx(-sum(CLEAN[:5]) / 5)
    assert found.figures["standard_error"] == pytest.approx(3.0 / (BATCH * 5) ** 0.5)
    assert "-0.62 ± 0.12 nats over 5 steps" in found.reason


def test_a_policy_that_is_still_the_reference_never_trips_by_accident() -> None:
    """The estimate's noise around 0 at its worst: many small batches of wide spread."""
    rng = random.Random(1)
    for _ in range(40):
        means = [rng.gauss(0.0, 4.0 / 16**0.5) for _ in range(250)]
        assert first(signs(means, std=4.0, batch_size=16)) is None


def test_an_engine_a_little_off_is_not_taken_for_a_flipped_sign() -> None:
    assert first(signs([-0.02] * 30, std=0.01)) is None


def test_after_a_trip_it_needs_as_much_evidence_again() -> None:
    verdicts = signs([-2.0] * 6, std=1.0)
    assert [step for step, found in enumerate(verdicts, 1) if found is not None] == [3, 6]


def test_steps_that_say_no_spread_are_passed_over() -> None:
    state = KLSignState()
    assert kl_sign.judge(KLSignConfig(), state, {"kl/reference_mean": -9.0}, 8) == (state, None)


def runaway(means: list[float] | tuple[float, ...], limit: float | None = 24.0) -> int | None:
    state = KLRunawayState()
    for step, mean in enumerate(means, 1):
        metrics = {"kl/reference_mean": mean}
        state, verdict = kl_runaway.judge(KLRunawayConfig(), state, metrics, limit)
        if verdict is not None:
            return step
    return None


def test_a_clean_run_s_overshoot_is_far_from_the_limit() -> None:
    assert runaway(CLEAN) is None


def test_a_runaway_is_stopped_at_its_sixth_step_above_the_limit() -> None:
    assert runaway([8.0, 25.0, 23.9, *(24.0 + step for step in range(1, 9))]) == 9


def test_a_policy_that_fell_apart_is_stopped_at_once() -> None:
    """387.8 nats are what a learning rate a thousand times too high came to in its third step."""
    assert runaway([0.0, 0.0, 387.8]) == 3
    assert runaway([0.0, 95.9]) is None
    state, verdict = kl_runaway.judge(
        KLRunawayConfig(), KLRunawayState(), {"kl/reference_mean": 387.8}, 24.0
    )
    assert verdict is not None
    assert verdict.reason.startswith("the KL to the reference is 387.8 nats, above 96.0: ")
    assert verdict.figures["threshold"] == 96.0
    assert state == KLRunawayState()


OVERSHOT = [4.3, 5.4, 6.0, 8.4, 19.1, 30.8, 27.7, 16.8, 12.4, 10.4, 10.5, 9.2, 11.0, 10.4]
"""KL of steps 9 to 22 of a run of the demo that nothing was wrong with, nats."""


def test_a_policy_that_overshoots_and_comes_back_goes_on() -> None:
    assert runaway(OVERSHOT) is None


def test_without_a_limit_there_is_no_runaway() -> None:
    assert runaway([1e6] * 5, limit=None) is None


@pytest.mark.parametrize(
    ("config", "is_adaptive", "limit"),
    [
        (KLRunawayConfig(), True, 18.0),
        (KLRunawayConfig(), False, None),
        (KLRunawayConfig(limit_nats=5.0), False, 5.0),
        (KLRunawayConfig(limit_nats=5.0), True, 5.0),
    ],
)
def test_the_limit_is_three_times_the_target_or_the_one_that_is_set(
    config: KLRunawayConfig, is_adaptive: bool, limit: float | None
) -> None:
    assert kl_runaway.limit_of(config, 6.0, is_adaptive=is_adaptive) == limit
