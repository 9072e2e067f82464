"""Losses of comparisons, one a comparison and head.

Shapes: B comparisons, K candidates of the largest, M heads. Comparisons with fewer candidates are
padded: `mask` is 1 on candidates, and what stands in the padding changes nothing.
"""

from __future__ import annotations

import torch
from torch import Tensor

_FLOOR = -1e9
"""Stands for −∞ in the padding; −∞ itself would make NaN of 0·∞."""


def best_of_k_loss(scores: Tensor, mask: Tensor, choice: Tensor, reliability: Tensor) -> Tensor:
    """Return −log(a·p + (1 − a)/K) with p = softmax(r)[chosen], [B, M].

    a = 1 is Ziegler et al. (2019); K = 2 is Bradley–Terry. A reliability a below 1 says that the
    labeler answers at random otherwise (Christiano et al. 2017 took a = 0.9 for everybody).

    Args:
        scores: [B, K, M].
        mask: [B, K].
        choice: [B], index of the candidate chosen.
        reliability: [B], a in (0, 1].
    """
    log_p = _log_softmax(scores, mask)
    chosen = log_p.gather(1, choice[:, None, None].expand(-1, 1, scores.shape[2])).squeeze(1)
    return -_with_noise(chosen, reliability[:, None], 1.0 / mask.sum(dim=1)[:, None])


def tie_loss(scores: Tensor, mask: Tensor) -> Tensor:
    """Return −1/K·Σ_k log softmax(r)_k, [B, M]: of a pair, target ½ (Christiano et al. 2017)."""
    log_p = _log_softmax(scores, mask) * mask[:, :, None]
    return -log_p.sum(dim=1) / mask.sum(dim=1)[:, None]


def ranking_loss(scores: Tensor, mask: Tensor, ranks: Tensor, reliability: Tensor) -> Tensor:
    """Return −1/C(K,2)·Σ over pairs log(a·σ(r_w − r_l) + (1 − a)/2), [B, M].

    All pairs of a prompt stay in one element of the batch (Ouyang et al. 2022).

    Args:
        scores: [B, K, M].
        mask: [B, K].
        ranks: [B, K], each candidate's place, 0 the best.
        reliability: [B], a in (0, 1].
    """
    is_pair = (ranks[:, :, None] < ranks[:, None, :]) & mask.bool()[:, None, :]
    is_pair &= mask.bool()[:, :, None]
    differences = scores[:, :, None, :] - scores[:, None, :, :]
    log_p = torch.nn.functional.logsigmoid(differences)
    half = torch.full_like(reliability, 0.5)[:, None, None, None]
    log_p = _with_noise(log_p, reliability[:, None, None, None], half)
    log_p = torch.where(is_pair[..., None], log_p, 0.0)
    return -log_p.sum(dim=(1, 2)) / is_pair.sum(dim=(1, 2))[:, None]


def _log_softmax(scores: Tensor, mask: Tensor) -> Tensor:
    """Return log softmax over the candidates, [B, K, M]."""
    return torch.where(mask.bool()[:, :, None], scores, _FLOOR).log_softmax(dim=1)


def _with_noise(log_p: Tensor, reliability: Tensor, chance: Tensor) -> Tensor:
    """Return log(a·p + (1 − a)·chance), finite however small p is."""
    noise = torch.log((1.0 - reliability) * chance)  # −∞ for a = 1, which logaddexp passes over
    return torch.logaddexp(log_p + torch.log(reliability), noise)
