"""What makes M scores of a text's features: linear heads, or heads that know their doubts.

`LinearHeads` are an ensemble of last layers. `EpistemicHeads` are one reward that is learned and M
doubts about it: particle m scores h₀(x) + prior_m(x) + difference_m(x) of the backbone's features
x. The priors are random networks that stay as they were drawn; the differences are trained to undo
them where there are labels (randomised priors: Osband et al. 2018; over a backbone's features, as
in Asghari et al. 2026). Where there are none, each particle goes on saying what its prior says.
What the particles learn moves the backbone through h₀ alone.

Letters: B sequences, D features, M heads or particles, W hidden units of each of two layers.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class LinearHeads(nn.Linear):
    """M linear heads on the same features."""

    @torch.no_grad()
    def draw(self, generator: torch.Generator) -> None:
        """Draw weights anew, standard deviation 1/√(D + 1), and zero the biases."""
        _draw_linear(self, generator)

    def linear(self, gain: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """Return weight [1, D] and bias [1] of the mean of the normalised heads."""
        weight = (gain[:, None] * self.weight).mean(dim=0, keepdim=True)
        return weight, (gain * self.bias + bias).mean(dim=0, keepdim=True)


class EpistemicHeads(nn.Module):
    """M particles on the same features.

    Args:
        width: D.
        num_heads: M.
        prior_width: W of the priors.
        difference_width: W of the differences.
        prior_scale: Standard deviation of a prior's output over the draw of priors.
    """

    def __init__(
        self,
        width: int,
        num_heads: int,
        *,
        prior_width: int,
        difference_width: int,
        prior_scale: float,
    ) -> None:
        super().__init__()
        self.in_features = width
        self.point = nn.Linear(width, 1)
        self.priors = _Networks(width, num_heads, prior_width)
        self.priors.requires_grad_(False)
        self.differences = _Networks(width, num_heads, difference_width)
        self._prior_scale = prior_scale

    @torch.no_grad()
    def draw(self, generator: torch.Generator) -> None:
        """Draw h₀ and the networks anew; the differences begin at 0 everywhere."""
        _draw_linear(self.point, generator)
        self.priors.draw(generator)
        self.differences.draw(generator)
        self.differences.last.zero_()

    def forward(self, features: Tensor) -> Tensor:
        """Return the particles' scores, [B, M] of [B, D]."""
        seen = features.detach()
        doubts = self._prior_scale * self.priors(seen) + self.differences(seen)
        scores: Tensor = self.point(features) + doubts
        return scores

    def linear(self, gain: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """Return weight [1, D] and bias [1] of h₀ after the mean particle's gain and bias."""
        mean = gain.mean()
        return mean * self.point.weight, mean * self.point.bias + bias.mean()


class _Networks(nn.Module):
    """M networks of two hidden layers, side by side; of [B, D] they make [B, M]."""

    def __init__(self, width: int, count: int, hidden: int) -> None:
        super().__init__()
        self.first = nn.Parameter(torch.zeros(count, width, hidden))
        self.first_bias = nn.Parameter(torch.zeros(count, hidden))
        self.second = nn.Parameter(torch.zeros(count, hidden, hidden))
        self.second_bias = nn.Parameter(torch.zeros(count, hidden))
        self.last = nn.Parameter(torch.zeros(count, hidden))

    @torch.no_grad()
    def draw(self, generator: torch.Generator) -> None:
        """Draw weights with the variance that keeps a signal's through a ReLU (He et al. 2015)."""
        for weights in (self.first, self.second):
            deviation = (2.0 / weights.shape[1]) ** 0.5
            weights.normal_(0.0, deviation, generator=generator)
        self.last.normal_(0.0, self.last.shape[1] ** -0.5, generator=generator)
        for biases in (self.first_bias, self.second_bias):
            biases.zero_()

    def forward(self, features: Tensor) -> Tensor:
        """Return [B, M] of [B, D], whose scale is left out: what counts is where features point."""
        scale = features.square().mean(dim=1, keepdim=True).clamp_min(1e-12).rsqrt()
        hidden = torch.einsum("bd,mdw->bmw", features * scale, self.first) + self.first_bias
        hidden = torch.einsum("bmw,mwv->bmv", hidden.relu(), self.second) + self.second_bias
        return torch.einsum("bmw,mw->bm", hidden.relu(), self.last)


def _draw_linear(head: nn.Linear, generator: torch.Generator) -> None:
    head.weight.normal_(0.0, (head.in_features + 1) ** -0.5, generator=generator)
    head.bias.zero_()
