"""How well scores agree with comparisons: accuracy, loss and calibration.

Shapes: B comparisons, K candidates of the largest, M heads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from learners.comparisons import (
    ComparisonBatch,
    calibration_error,
    collate_comparisons,
    comparison_losses,
    hits,
)
from protocol.fits import Comparison


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What a reward model makes of comparisons."""

    num_comparisons: int
    num_decided: int
    """Comparisons that name a best; ties name none."""
    num_hits: int
    """Decided comparisons in which the top score is the labeler's best."""
    loss: float
    """Mean over comparisons and heads, nats; every labeler is trusted alike."""
    chance: float | None
    """The accuracy of guessing, 1/K on average; None where none is decided."""
    calibration_error: float | None
    """Mean gap of confidence and accuracy (Guo et al. 2017); None where none is decided."""

    @property
    def accuracy(self) -> float | None:
        """Share of the decided that are hits."""
        return self.num_hits / self.num_decided if self.num_decided else None


def judge(scores: Tensor, comparisons: Sequence[Comparison]) -> Judgement:
    """Judge scores by what people said.

    Args:
        scores: [N, M] of all candidates, comparison by comparison, at the scale at which the
            likelihood of the labels was learned.
        comparisons: [B], at least one.
    """
    batch = collate_comparisons(comparisons, {})
    by_comparison = batch.spread(scores)
    hit, decided = hits(by_comparison.mean(dim=2), batch)
    sure = confidence(by_comparison, batch)
    return Judgement(
        num_comparisons=len(comparisons),
        num_decided=int(decided.sum()),
        num_hits=int(hit.sum()),
        loss=float(comparison_losses(by_comparison, batch).mean()),
        chance=float((1.0 / batch.mask.sum(dim=1))[decided].mean()) if decided.any() else None,
        calibration_error=calibration_error(sure[decided], hit[decided]) if decided.any() else None,
    )


def foretold(scores: Tensor, comparisons: Sequence[Comparison]) -> dict[str, float]:
    """Return metrics of how well a model foretold labels that it has not learned.

    Accuracy over validation queries and over those of π alone, each with how many labels it is of;
    calibration over all. What nothing was decided of is absent.

    Args:
        scores: [N, M], as `judge` takes them.
        comparisons: [B], at least one.
    """
    batch = collate_comparisons(comparisons, {})
    by_comparison = batch.spread(scores)
    hit, decided = hits(by_comparison.mean(dim=2), batch)
    metrics: dict[str, float] = {}
    groups = {
        "": [each.purpose == "validation" for each in comparisons],
        "_current_policy": [min(each.policy_versions) > 0 for each in comparisons],
    }
    for which, members in groups.items():
        asked = decided & torch.tensor(members)
        if bool(asked.any()):
            metrics |= {
                f"reward_model/validation_accuracy{which}": float(hit[asked].float().mean()),
                f"reward_model/validation_labels{which}": float(asked.sum()),
            }
    if bool(decided.any()):
        sure = confidence(by_comparison, batch)
        metrics["reward_model/ece"] = calibration_error(sure[decided], hit[decided])
    return metrics


def confidence(scores: Tensor, batch: ComparisonBatch) -> Tensor:
    """Return the probability of the candidate of the highest mean score, [B] of [B, K, M].

    That candidate's probability is averaged over the heads; where they disagree another may have a
    higher one, but it is not the one whose hits are counted.
    """
    masked = scores.masked_fill(~batch.mask.bool()[:, :, None], -torch.inf)
    top = masked.mean(dim=2).argmax(dim=1, keepdim=True)
    return masked.softmax(dim=1).mean(dim=2).gather(1, top).squeeze(1)
