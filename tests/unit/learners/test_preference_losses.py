"""Losses of comparisons against numbers worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from learners.preference_losses import best_of_k_loss, ranking_loss, tie_loss

SURE = torch.ones(1)


def scores(*values: float) -> torch.Tensor:
    """[1, K, 1]."""
    return torch.tensor(values)[None, :, None]


def test_best_of_four() -> None:
    # softmax of (log 1, log 2, log 3, log 4) is (.1, .2, .3, .4)
    four = scores(*(math.log(n) for n in (1, 2, 3, 4)))
    loss = best_of_k_loss(four, torch.ones(1, 4), torch.tensor([2]), SURE)
    assert loss.item() == pytest.approx(-math.log(0.3))


def test_a_pair_is_bradley_terry() -> None:
    loss = best_of_k_loss(scores(1.0, 3.0), torch.ones(1, 2), torch.tensor([1]), SURE)
    assert loss.item() == pytest.approx(math.log(1 + math.exp(-2.0)))


def test_a_candidate_that_is_padding_takes_no_probability() -> None:
    padded = scores(0.0, 0.0, 50.0)
    loss = best_of_k_loss(padded, torch.tensor([[1.0, 1.0, 0.0]]), torch.tensor([0]), SURE)
    assert loss.item() == pytest.approx(math.log(2))


def test_an_unreliable_labeler_mixes_in_chance() -> None:
    four = scores(*(math.log(n) for n in (1, 2, 3, 4)))
    loss = best_of_k_loss(four, torch.ones(1, 4), torch.tensor([3]), torch.tensor([0.9]))
    assert loss.item() == pytest.approx(-math.log(0.9 * 0.4 + 0.1 / 4))


def test_noise_bounds_the_loss_of_a_hopeless_choice() -> None:
    loss = best_of_k_loss(
        scores(0.0, 1000.0), torch.ones(1, 2), torch.tensor([0]), torch.tensor([0.9])
    )
    assert loss.item() == pytest.approx(-math.log(0.05))


def test_a_tie_of_two_has_target_one_half() -> None:
    loss = tie_loss(scores(math.log(1), math.log(3)), torch.ones(1, 2))
    assert loss.item() == pytest.approx(-0.5 * math.log(0.25) - 0.5 * math.log(0.75))


def test_a_ranking_is_the_mean_over_its_pairs() -> None:
    # places: candidate 1 first, then 2, then 0
    loss = ranking_loss(scores(0.0, 2.0, 1.0), torch.ones(1, 3), torch.tensor([[2, 0, 1]]), SURE)

    def pair(difference: float) -> float:
        return math.log(1 + math.exp(-difference))

    assert loss.item() == pytest.approx((pair(1.0) + pair(2.0) + pair(1.0)) / 3)


def test_a_ranking_with_noise() -> None:
    loss = ranking_loss(
        scores(0.0, 0.0), torch.ones(1, 2), torch.tensor([[0, 1]]), torch.tensor([0.5])
    )
    assert loss.item() == pytest.approx(-math.log(0.5 * 0.5 + 0.5 / 2))


def test_a_ranking_ignores_padding() -> None:
    wide = scores(1.0, 0.0, 9.0)
    mask, ranks = torch.tensor([[1.0, 1.0, 0.0]]), torch.tensor([[0, 1, 0]])
    narrow = ranking_loss(wide[:, :2], mask[:, :2], ranks[:, :2], SURE)
    torch.testing.assert_close(ranking_loss(wide, mask, ranks, SURE), narrow)


def test_heads_are_apart() -> None:
    both = torch.tensor([[[0.0, 5.0], [1.0, 5.0]]])
    loss = best_of_k_loss(both, torch.ones(1, 2), torch.tensor([0]), SURE)
    assert loss.shape == (1, 2)
    assert loss[0].tolist() == pytest.approx([math.log(1 + math.e), math.log(2)])


def test_gradients_are_finite_at_the_edges() -> None:
    extreme = scores(0.0, 2000.0).requires_grad_()
    loss = best_of_k_loss(extreme, torch.ones(1, 2), torch.tensor([0]), torch.tensor([0.9]))
    (loss.sum() + tie_loss(extreme, torch.ones(1, 2)).sum()).backward()
    assert extreme.grad is not None
    assert bool(extreme.grad.isfinite().all())
