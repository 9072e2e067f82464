"""Identities the learners' formulas keep on any input."""

from __future__ import annotations

from collections.abc import Callable

import torch
from hypothesis import given
from hypothesis import strategies as st

from learners.advantages import gae, penalised_rewards, whiten
from learners.config import KLConfig
from learners.kl_control import KLController
from learners.losses import importance_weights, policy_loss, value_loss
from learners.preference_losses import best_of_k_loss, ranking_loss, tie_loss

SEEDS = st.integers(0, 2**31 - 1)
GAMMAS = st.floats(0.5, 1.0)


def draws(seed: int, *shape: int, count: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return list(torch.randn(count, *shape, generator=generator, dtype=torch.float64))


def ragged_mask(seed: int, rows: int, columns: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, columns + 1, (rows, 1), generator=generator)
    return (torch.arange(columns) < lengths).double()


@given(SEEDS, GAMMAS)
def test_lambda_0_is_the_one_step_error(seed: int, gamma: float) -> None:
    rewards, values = draws(seed, 3, 5, count=2)
    mask = ragged_mask(seed, 3, 5)
    advantages, _ = gae(rewards * mask, values, mask, gamma, 0.0)
    following = torch.cat([(values * mask)[:, 1:], torch.zeros(3, 1)], dim=1)
    torch.testing.assert_close(advantages, (rewards + gamma * following - values) * mask)


@given(SEEDS, GAMMAS)
def test_lambda_1_makes_returns_the_discounted_sum(seed: int, gamma: float) -> None:
    rewards, values = draws(seed, 3, 5, count=2)
    mask = ragged_mask(seed, 3, 5)
    _, returns = gae(rewards * mask, values, mask, gamma, 1.0)
    for t in range(5):
        discounts = gamma ** torch.arange(5 - t, dtype=torch.float64)
        expected = ((rewards * mask)[:, t:] * discounts).sum(dim=1) * mask[:, t]
        torch.testing.assert_close(returns[:, t], expected)


@given(SEEDS, st.integers(1, 4))
def test_padding_changes_nothing(seed: int, extra: int) -> None:
    """Wider tensors with rubbish in the padding give the same advantages."""
    mask = ragged_mask(seed, 3, 5)
    wide_mask = torch.cat([mask, torch.zeros(3, extra)], dim=1)
    policy, reference, values, rubbish = draws(seed, 3, 5 + extra, count=4)
    (scores,) = draws(seed, 3, count=1)

    def targets(width: int, mask: torch.Tensor, noise: torch.Tensor) -> tuple[torch.Tensor, ...]:
        p, q, v = (
            x[:, :width] + noise[:, :width] * (1 - mask) for x in (policy, reference, values)
        )
        rewards = whiten(penalised_rewards(scores, p, q, mask, 0.3), mask, shift_mean=False)
        advantages, returns = gae(rewards, v, mask, 1.0, 0.95)
        return whiten(advantages, mask, shift_mean=True), returns

    plain = targets(5, mask, torch.zeros_like(rubbish))
    padded = targets(5 + extra, wide_mask, 100 * rubbish)
    for mine, theirs in zip(plain, padded, strict=True):
        torch.testing.assert_close(theirs[:, :5], mine)
        assert not theirs[:, 5:].any()


@given(SEEDS)
def test_whitened_has_mean_0_and_variance_1(seed: int) -> None:
    (x,) = draws(seed, 4, 6, count=1)
    mask = torch.ones(4, 6, dtype=torch.float64)
    whitened = whiten(x, mask, shift_mean=True)
    torch.testing.assert_close(whitened.mean(), torch.tensor(0.0).double(), atol=1e-9, rtol=0)
    torch.testing.assert_close(
        whitened.var(correction=0), torch.tensor(1.0).double(), rtol=1e-4, atol=0
    )
    kept = whiten(x, mask, shift_mean=False)
    torch.testing.assert_close(kept - whitened, torch.full_like(x, float(x.mean())))


@given(SEEDS)
def test_on_policy_the_decoupled_objective_is_the_naive_one(seed: int) -> None:
    logprobs, behavior, advantages = draws(seed, 3, 5, count=3)
    weights = importance_weights(behavior, behavior, cap=2.0)
    assert weights.eq(1).all()
    decoupled, _ = policy_loss(logprobs, behavior, advantages, weights, 0.2)
    naive, _ = policy_loss(logprobs, behavior, advantages, torch.ones(3, 5), 0.2)
    assert decoupled.equal(naive)


@given(SEEDS)
def test_losses_are_never_below_their_unclipped_forms(seed: int) -> None:
    logprobs, center, advantages, returns = draws(seed, 3, 5, count=4)
    losses, _ = policy_loss(logprobs, center, advantages, torch.ones(3, 5), 0.2)
    assert (losses >= -advantages * torch.exp(logprobs - center) - 1e-12).all()
    assert (value_loss(logprobs, center, returns, 0.2) >= 0.5 * (logprobs - returns) ** 2).all()


@given(SEEDS, st.floats(0.1, 1.0))
def test_swapping_the_candidates_negates_the_preference(seed: int, reliability: float) -> None:
    """p(a over b) + p(b over a) = 1, with and without noise."""
    (pair,) = draws(seed, 2, 2, 3, count=1)
    mask, trust = torch.ones(2, 2).double(), torch.full((2,), reliability).double()
    first = best_of_k_loss(pair, mask, torch.zeros(2, dtype=torch.int64), trust)
    swapped = best_of_k_loss(pair.flip(1), mask, torch.zeros(2, dtype=torch.int64), trust)
    torch.testing.assert_close(torch.exp(-first) + torch.exp(-swapped), torch.ones(2, 3).double())


@given(SEEDS, st.floats(-5, 5))
def test_shifting_all_scores_changes_no_loss(seed: int, shift: float) -> None:
    (scores,) = draws(seed, 2, 4, 3, count=1)
    mask, trust = torch.ones(2, 4).double(), torch.full((2,), 0.8).double()
    choice, ranks = torch.tensor([1, 3]), torch.tensor([[0, 1, 2, 3], [2, 1, 3, 0]])
    losses: tuple[Callable[[torch.Tensor], torch.Tensor], ...] = (
        lambda s: best_of_k_loss(s, mask, choice, trust),
        lambda s: ranking_loss(s, mask, ranks, trust),
        lambda s: tie_loss(s, mask),
    )
    for loss in losses:
        torch.testing.assert_close(loss(scores + shift), loss(scores))


@given(SEEDS)
def test_a_ranking_of_two_is_a_choice(seed: int) -> None:
    (pair,) = draws(seed, 2, 2, 3, count=1)
    mask, trust = torch.ones(2, 2).double(), torch.full((2,), 0.7).double()
    ranks, choice = torch.tensor([[0, 1], [1, 0]]), torch.tensor([0, 1])
    torch.testing.assert_close(
        ranking_loss(pair, mask, ranks, trust), best_of_k_loss(pair, mask, choice, trust)
    )


@given(st.lists(st.floats(-50, 50), max_size=20), st.integers(1, 2000))
def test_the_coefficient_stays_positive_and_moves_little(
    measured: list[float], episodes: int
) -> None:
    controller = KLController(KLConfig())
    for kl in measured:
        before = controller.coefficient
        controller.update(kl, episodes)
        bound = 0.2 * episodes / 10_000
        assert controller.coefficient > 0
        assert abs(controller.coefficient / before - 1) <= bound + 1e-12
