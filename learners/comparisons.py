"""Comparisons as tensors, and their losses and accuracies.

Shapes: B comparisons, K candidates of the largest, M heads, N candidates of all, T tokens.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from learners.preference_losses import best_of_k_loss, ranking_loss, tie_loss
from protocol.fits import Comparison
from reward_service.batching import pad_right


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonBatch:
    """Comparisons ready for a RewardModel: all candidates in one padded block of sequences."""

    input_ids: Tensor
    """[N, T] int64, prompt and kept response."""
    attention_mask: Tensor
    """[N, T] int64."""
    mask: Tensor
    """[B, K] float32, 1 on candidates; its ones, row by row, are the N sequences."""
    ranks: Tensor
    """[B, K] int64, each candidate's place, 0 the best; ties and unranked ones share a place."""
    outcomes: tuple[str, ...]
    """[B] "choice", "ranking" or "tie"."""
    reliability: Tensor
    """[B] float32, a in (0, 1] of the labeler."""

    def spread(self, flat: Tensor) -> Tensor:
        """Return scores by comparison, [B, K, M] with 0 in the padding, of flat [N, M]."""
        spread = flat.new_zeros(*self.mask.shape, flat.shape[1])
        spread[self.mask.bool()] = flat
        return spread

    def to(self, device: torch.device) -> ComparisonBatch:
        """Return the batch on another device."""
        return ComparisonBatch(
            input_ids=self.input_ids.to(device),
            attention_mask=self.attention_mask.to(device),
            mask=self.mask.to(device),
            ranks=self.ranks.to(device),
            outcomes=self.outcomes,
            reliability=self.reliability.to(device),
        )


def collate_comparisons(
    comparisons: Sequence[Comparison], reliability: Mapping[str, float]
) -> ComparisonBatch:
    """Return comparisons as one batch, in their order.

    Args:
        comparisons: [B], at least one.
        reliability: By labeler; 1 where a labeler is missing.
    """
    widest = max(len(each.candidate_token_ids) for each in comparisons)
    input_ids, attention_mask = pad_right(candidate_sequences(comparisons))
    mask = torch.zeros(len(comparisons), widest)
    ranks = torch.zeros(len(comparisons), widest, dtype=torch.int64)
    for row, each in enumerate(comparisons):
        places = _places(each)
        mask[row, : len(places)] = 1.0
        ranks[row, : len(places)] = torch.tensor(places)
    return ComparisonBatch(
        input_ids=input_ids,
        attention_mask=attention_mask,
        mask=mask,
        ranks=ranks,
        outcomes=tuple(each.outcome for each in comparisons),
        reliability=torch.tensor([reliability.get(each.labeler_id, 1.0) for each in comparisons]),
    )


def candidate_sequences(comparisons: Sequence[Comparison]) -> list[tuple[int, ...]]:
    """Return prompt + response of every candidate, [N], comparison by comparison."""
    return [
        each.prompt_token_ids + response
        for each in comparisons
        for response in each.candidate_token_ids
    ]


def comparison_losses(scores: Tensor, batch: ComparisonBatch) -> Tensor:
    """Return each comparison's loss by head, [B, M], of scores [B, K, M]."""
    losses = scores.new_zeros(scores.shape[0], scores.shape[2])
    for outcome in sorted(set(batch.outcomes)):
        rows = torch.tensor(
            [row for row, each in enumerate(batch.outcomes) if each == outcome],
            device=scores.device,
        )
        some, mask, reliability = scores[rows], batch.mask[rows], batch.reliability[rows]
        if outcome == "choice":
            part = best_of_k_loss(some, mask, _best(batch)[rows], reliability)
        elif outcome == "ranking":
            part = ranking_loss(some, mask, batch.ranks[rows], reliability)
        else:
            part = tie_loss(some, mask)
        losses = losses.index_add(0, rows, part)
    return losses


def hits(scores: Tensor, batch: ComparisonBatch) -> tuple[Tensor, Tensor]:
    """Return whether the top score is the labeler's best, and where that can be asked: both [B].

    Ties have no best, and count in neither.

    Args:
        scores: [B, K], of all heads together.
        batch: The comparisons.
    """
    decided = torch.tensor([each != "tie" for each in batch.outcomes], device=scores.device)
    top = scores.masked_fill(~batch.mask.bool(), -math.inf).argmax(dim=1)
    return (top == _best(batch)) & decided, decided


def calibration_error(confidence: Tensor, hit: Tensor, num_bins: int = 10) -> float:
    """Return Σ over bins of |accuracy − mean confidence|·share (Guo et al. 2017).

    Args:
        confidence: [B], the probability given to the top candidate.
        hit: [B], whether it was the labeler's best.
        num_bins: Equal bins of [0, 1].
    """
    bins = (confidence * num_bins).long().clamp(max=num_bins - 1)
    gaps = confidence.new_zeros(num_bins).index_add(0, bins, hit.float() - confidence)
    return float(gaps.abs().sum() / len(confidence))


def bootstrap_counts(comparisons: Sequence[Comparison], num_heads: int, seed: int) -> Tensor:
    """Return how often each head learns each comparison, [B, M]: Poisson(1) draws.

    The online bootstrap (Oza and Russell 2001). A draw depends on its label alone, so a refit, a
    warm update and a replay all agree on who learns what.
    """
    return torch.tensor(
        [
            [_poisson(f"{seed}:{each.query_id}:{each.labeler_id}:{m}") for m in range(num_heads)]
            for each in comparisons
        ],
        dtype=torch.float32,
    )


def _poisson(key: str) -> int:
    """Return a Poisson(1) draw that is a function of the key."""
    digest = hashlib.blake2b(key.encode(), digest_size=8).digest()
    uniform = int.from_bytes(digest, "big") / 2**64
    count, probability = 0, math.exp(-1.0)
    while uniform >= probability and probability > 0.0:
        uniform -= probability
        count += 1
        probability /= count
    return count


def _places(comparison: Comparison) -> list[int]:
    """Return each candidate's place, [K]."""
    num_candidates = len(comparison.candidate_token_ids)
    if comparison.outcome == "ranking":
        assert comparison.ranking is not None
        places = [0] * num_candidates
        for place, index in enumerate(comparison.ranking):
            places[index] = place
        return places
    if comparison.outcome == "choice":
        return [int(index != comparison.choice) for index in range(num_candidates)]
    return [0] * num_candidates


def _best(batch: ComparisonBatch) -> Tensor:
    """Return the index of each comparison's best candidate, [B]."""
    return batch.ranks.masked_fill(~batch.mask.bool(), batch.ranks.shape[1] + 1).argmin(dim=1)
