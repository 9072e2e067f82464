"""Heads that know their doubts: what is frozen, what moves what, and that the spread means it."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from scipy.stats import spearmanr
from torch import Tensor

from reward_service.bundle import load_bundle, write_bundle
from reward_service.config import RewardModelConfig
from reward_service.heads import EpistemicHeads, LinearHeads
from tests.support.reward import make_reward_model, make_reward_version

D, M = 12, 16


def drawn(seed: int = 0, prior_scale: float = 1.0) -> EpistemicHeads:
    heads = EpistemicHeads(D, M, prior_width=32, difference_width=32, prior_scale=prior_scale)
    heads.draw(torch.Generator().manual_seed(seed))
    return heads


def features(count: int, seed: int = 0) -> Tensor:
    return torch.randn(count, D, generator=torch.Generator().manual_seed(seed))


def test_a_prior_has_the_deviation_that_is_asked_for() -> None:
    heads = EpistemicHeads(D, 4_000, prior_width=32, difference_width=4, prior_scale=1.0)
    heads.draw(torch.Generator().manual_seed(0))
    with torch.no_grad():
        deviations = heads.priors(100.0 * features(4)).std(dim=1)
    assert deviations.tolist() == pytest.approx([1.0] * 4, rel=0.1)


def test_before_any_label_a_particle_is_its_prior_beside_the_learned_head() -> None:
    heads, x = drawn(prior_scale=0.5), features(5)
    with torch.no_grad():
        expected = heads.point(x) + 0.5 * heads.priors(x)
        assert torch.allclose(heads(x), expected)
        assert heads(x).shape == (5, M)


def test_priors_stay_and_what_particles_learn_moves_features_through_the_learned_head() -> None:
    heads, x = drawn(), features(5).requires_grad_()
    heads(x).square().mean().backward()
    trained = {name for name, each in heads.named_parameters() if each.requires_grad}
    assert trained == {"point.weight", "point.bias"} | {
        f"differences.{name}" for name in ("first", "first_bias", "second", "second_bias", "last")
    }
    scores = heads(x).detach()
    through_point = (2 * scores / scores.numel()).sum(dim=1, keepdim=True) @ heads.point.weight
    assert x.grad is not None
    assert torch.allclose(x.grad, through_point, atol=1e-6)


def test_the_generator_alone_decides_them() -> None:
    one, same, other = drawn(1), drawn(1), drawn(2)
    for name, tensor in one.state_dict().items():
        assert torch.equal(tensor, same.state_dict()[name]), name
    assert not torch.equal(one.priors.first, other.priors.first)


@pytest.mark.parametrize("kind", ["linear", "epistemic"])
def test_a_critic_starts_from_what_is_linear_in_the_mean(kind: str) -> None:
    heads = LinearHeads(D, M) if kind == "linear" else drawn(prior_scale=1e-6)
    heads.draw(torch.Generator().manual_seed(3))
    gain, bias = torch.rand(M) + 0.5, torch.randn(M)
    x = features(6)
    with torch.no_grad():
        weight, offset = heads.linear(gain, bias)
        expected = (gain * heads(x) + bias).mean(dim=1)
        assert torch.allclose(x @ weight[0] + offset, expected, atol=1e-4)


def test_a_bundle_holds_their_priors(reference: Path, tmp_path: Path) -> None:
    model = make_reward_model(reference, num_heads=4, heads="epistemic", prior_width=8)
    written = write_bundle(tmp_path, model, make_reward_version())
    loaded = load_bundle(Path(written.path)).model
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, loaded.state_dict()[name]), name
    assert any(name.startswith("heads.priors.") for name in model.state_dict())


def test_one_doubt_is_none() -> None:
    with pytest.raises(ValueError, match="needs num_heads of at least 2"):
        RewardModelConfig(heads="epistemic")


def test_where_labels_were_the_particles_agree_and_where_none_were_they_do_not() -> None:
    """Labels of one half of the features' space: doubt stays in the other, and so does error."""
    heads, utility = drawn(), torch.randn(D, generator=torch.Generator().manual_seed(9))
    known = features(1_200, seed=1)
    known[:, D // 2 :] = 0.0
    optimizer = torch.optim.AdamW(
        [each for each in heads.parameters() if each.requires_grad], lr=3e-3
    )
    for first, second in zip(known[:600].split(60), known[600:].split(60), strict=True):
        for _ in range(8):
            signs = torch.sign((first - second) @ utility)[:, None]
            loss = torch.nn.functional.softplus(-signs * (heads(first) - heads(second))).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    doubts, errors = [], []
    for share in (0.0, 0.25, 0.5, 1.0):
        one, other = features(300, seed=2), features(300, seed=3)
        for each in (one, other):
            each[:, : D // 2] *= math.sqrt(1 - share)
            each[:, D // 2 :] *= math.sqrt(share)
        with torch.no_grad():
            preferences = torch.sigmoid(heads(one) - heads(other))
        truth = ((one - other) @ utility > 0).float()
        doubts.append(preferences.std(dim=1))
        errors.append((preferences.mean(dim=1) - truth).abs())
    assert doubts[-1].mean() > 2 * doubts[0].mean()
    assert spearmanr(torch.cat(doubts), torch.cat(errors)).statistic > 0.3
