"""The adaptive coefficient against numbers worked out by hand."""

from __future__ import annotations

import pytest

from learners.config import KLConfig
from learners.kl_control import KLController


def controller(**changes: object) -> KLController:
    return KLController(KLConfig(**{"coefficient": 0.1, "target": 6.0, **changes}))


def test_error_within_the_bound_moves_the_coefficient_by_it() -> None:
    kl = controller()
    kl.update(6.6, episodes=1000)  # e = 0.1: 0.1·(1 + 0.1·1000/10000)
    assert kl.coefficient == pytest.approx(0.1 * 1.01)


@pytest.mark.parametrize(("measured", "factor"), [(60.0, 1.00256), (0.0, 0.99744), (-1.0, 0.99744)])
def test_error_is_clipped(measured: float, factor: float) -> None:
    kl = controller()
    kl.update(measured, episodes=128)  # e = ±0.2: 1 ± 0.2·128/10000
    assert kl.coefficient == pytest.approx(0.1 * factor)


def test_on_target_it_stays() -> None:
    kl = controller()
    kl.update(6.0, episodes=128)
    assert kl.coefficient == pytest.approx(0.1)


def test_fixed_coefficient_stays() -> None:
    kl = controller(kind="fixed", proportional=0.5)
    kl.update(100.0, episodes=10_000)
    assert kl.coefficient == kl.for_batch(100.0) == 0.1
    assert (kl.target, controller().target) == (None, 6.0)


@pytest.mark.parametrize(
    ("measured", "share"),
    [(6.0, 0.0), (6.6, 0.1), (3.0, -0.5), (12.0, 1.0), (60.0, 1.0), (-9.0, -1.0)],
)
def test_a_batch_pays_by_its_own_error_and_leaves_nothing_behind(
    measured: float, share: float
) -> None:
    kl = controller(proportional=0.8)
    assert kl.for_batch(measured) == pytest.approx(0.1 * (1 + 0.8 * share))
    assert kl.coefficient == 0.1
    assert controller().for_batch(measured) == 0.1  # Ziegler et al. have no such term


def test_with_both_terms_the_kl_overshoots_less_and_settles_at_the_target() -> None:
    """A policy whose KL follows 1/β slowly, as it does over some steps of PPO."""
    beyond = {}
    for proportional in (0.0, 0.8):
        kl = controller(coefficient=0.05, horizon_episodes=1280, proportional=proportional)
        measured, seen = 0.0, []
        for _ in range(300):
            measured += 0.1 * (0.6 / kl.for_batch(measured) - measured)
            kl.update(measured, episodes=128)
            seen.append(measured)
        assert seen[-1] == pytest.approx(6.0, rel=0.05)
        beyond[proportional] = max(seen)
    assert beyond[0.8] - 6.0 < 0.5 * (beyond[0.0] - 6.0)


@pytest.mark.parametrize(("batch", "horizon"), [(512, 100), (512, 102), (128, 20)])
def test_a_batch_that_could_turn_it_negative_is_refused(batch: int, horizon: int) -> None:
    with pytest.raises(
        ValueError, match=f"kl.horizon_episodes {horizon} .* ppo.batch_size {batch}"
    ):
        KLConfig(horizon_episodes=horizon).check_batch(batch)


def test_the_largest_batch_that_is_taken_leaves_a_little() -> None:
    config = KLConfig(coefficient=0.1, target=6.0, horizon_episodes=103)
    config.check_batch(512)
    kl = KLController(config)
    kl.update(0.0, episodes=512)  # 1 − 0.2·512/103
    assert kl.coefficient == pytest.approx(0.1 * 0.6 / 103)
    kl.update(0.0, episodes=512)
    assert kl.coefficient > 0


def test_a_fixed_one_takes_any_batch() -> None:
    KLConfig(kind="fixed", horizon_episodes=1).check_batch(512)
