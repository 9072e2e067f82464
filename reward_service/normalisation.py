"""Gain and bias: what makes scores of different reward versions comparable in size."""

from __future__ import annotations

import torch
from torch import Tensor

from protocol.errors import InputError, NotFinite
from reward_service.config import NormalisationRule
from reward_service.reward_model import RewardModel

_ROUNDING = 1e-6
"""Scores that differ by less than this share of their size differ by float32 rounding alone."""


def gain_and_bias(raw: Tensor, rule: NormalisationRule) -> tuple[Tensor, Tensor]:
    """Return gain [M] and bias [M] from raw scores [N, M], each head on its own.

    - "reference": raw are N samples y ~ ρ; gain = 1/σ and bias = −μ/σ with the population σ, so
      that gain·raw + bias has mean 0 and variance 1 (Ziegler et al. 2019, released code).
    - "zero_at_reference": raw are the data set's reference responses; gain 1 and bias −μ, so that
      they score 0 on average (Stiennon et al. 2020).
    - "zero_at_demonstrations": the same for labelers' demonstrations (Ouyang et al. 2022).

    Raises:
        InputError: Fewer than two samples.
        NotFinite: A raw score is NaN or infinite, or a head cannot tell any two samples apart.
    """
    if len(raw) < 2:
        raise InputError(f"normalisation needs at least 2 samples and got {len(raw)}")
    if not bool(raw.isfinite().all()):
        raise NotFinite("a raw score among the normalisation samples is NaN or ∞")
    mean = raw.mean(dim=0)
    if rule != "reference":
        return torch.ones_like(mean), -mean
    deviation = raw.std(dim=0, correction=0)
    telling = deviation > _ROUNDING * raw.abs().amax(dim=0)
    if not bool(telling.all()):
        head = int(telling.int().argmin())
        raise NotFinite(f"head {head} gives all {len(raw)} normalisation samples the same score")
    return 1.0 / deviation, -mean / deviation


def normalise(model: RewardModel, raw: Tensor) -> None:
    """Set a model's gain and bias, in place, from its raw scores.

    To be called before and after every fit. Calling it again changes nothing.

    Args:
        model: In evaluation or training mode alike, for it has no dropout.
        raw: [N, M], of sequences of the kind that the rule of the model's config asks for: prompt
            and kept response.

    Raises:
        InputError: Fewer than two sequences.
        NotFinite: As `gain_and_bias`.
    """
    model.set_normalisation(*gain_and_bias(raw, model.config.normalisation))
