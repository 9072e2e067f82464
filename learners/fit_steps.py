"""The optimizer steps of one reward fit, which may be taken one at a time.

Shapes: B comparisons, M heads.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import torch
from torch import Tensor

from learners.comparisons import (
    ComparisonBatch,
    bootstrap_counts,
    candidate_sequences,
    collate_comparisons,
    comparison_losses,
    hits,
)
from learners.config import RewardFitConfig
from learners.engine import Engine
from learners.mark_losses import NUM_SUMS, MarkedTokens, MarkLosses
from learners.passes import ANY_NUMBER, cut_into_passes
from learners.reward_reading import RewardReading
from protocol.fits import Comparison, FitRequest
from reward_service.batching import check_sequences
from reward_service.buckets import BatchLimits


class FitSteps:
    """What a request, a config and a model make of each other, step by step.

    Args:
        engine: The model, as it is before the first step.
        gain: [M], the scale at which it learns.
        request: What it learns.
        config: Rates, batches, seed.
        limits: Of one forward pass on one rank, in responses and their tokens.
        reading: Knows what a trunk says that nobody trains.
        marked: Reads which tokens are marked, where the model has a mark head.

    Raises InputError for a sequence that the model cannot take, or a mark outside its response.
    """

    def __init__(
        self,
        engine: Engine,
        gain: Tensor,
        request: FitRequest,
        config: RewardFitConfig,
        limits: BatchLimits,
        reading: RewardReading,
        marked: MarkedTokens | None = None,
    ) -> None:
        check_sequences(engine.module, candidate_sequences(request.comparisons))
        self._engine = engine
        self._gain = gain
        self._config = config
        self._reading = reading
        self._comparisons = request.comparisons
        self._reliability = dict(request.labeler_weights) if config.noise_aware else {}
        self._is_refit = request.kind == "refit"
        self._epochs = config.epochs if self._is_refit else 1
        size = config.batch_size if self._is_refit else config.warm_batch_size
        self._total = self._epochs * -(-len(self._comparisons) // size)
        widest = max(len(each.candidate_token_ids) for each in self._comparisons)
        per_pass = max(1, limits.max_sequences // widest)
        self._limits = BatchLimits(max_tokens=limits.max_tokens, max_sequences=per_pass)
        # One of few candidates may be padded to the length of another's many.
        is_bounded = limits.max_tokens < ANY_NUMBER
        self._sizes = [
            _padded_tokens(each, widest if is_bounded else None) for each in self._comparisons
        ]
        self._counts = self._learning_counts(len(gain))
        self._batches = self._drawn(size)
        self._marks = None
        if marked is not None:
            self._marks = MarkLosses(marked, self._comparisons, self._reliability)
        self._sums = torch.zeros(3 if marked is None else 3 + NUM_SUMS)
        self.num_taken = 0

    @property
    def are_done(self) -> bool:
        """Whether all steps are taken."""
        return self.num_taken == self._total

    def take(self, until: int | None = None) -> None:
        """Take steps until so many are taken, or all.

        Raises NotFinite where a loss or gradient is NaN or infinite.
        """
        last = self._total if until is None else min(until, self._total)
        while self.num_taken < last:
            self._sums += self._accumulate(next(self._batches))
            self._engine.step(self._lr())
            self.num_taken += 1

    def metrics(self) -> dict[str, float]:
        """Return mean loss and accuracy of comparisons, and of marks, *before* each was learned.

        Every rank must come.
        """
        sums = self._sums.to(self._engine.device)
        loss, hit, decided, *marks = self._engine.summed(sums).tolist()
        metrics = {"reward_model/loss": loss / (self._epochs * len(self._comparisons))}
        if decided > 0:
            metrics["reward_model/train_accuracy"] = hit / decided
        if marks and marks[1] > 0:
            lost, num_marked, right, num_tokens = marks
            metrics["reward_model/mark_loss"] = lost / num_marked
            metrics["reward_model/mark_accuracy"] = right / num_tokens
        return metrics

    def _lr(self) -> float:
        if not self._is_refit:
            return self._config.warm_lr
        return self._config.lr * (1 - self.num_taken / self._total)

    def _drawn(self, size: int) -> Iterator[Tensor]:
        """Give the rows of each step's batch; their order follows from the seed alone."""
        order = torch.Generator().manual_seed(self._config.seed)
        for _ in range(self._epochs):
            yield from torch.split(torch.randperm(len(self._comparisons), generator=order), size)

    def _learning_counts(self, num_heads: int) -> Tensor:
        """Return how often each head learns each comparison, [B, M]."""
        if num_heads == 1 or not self._config.bootstrap:
            return torch.ones(len(self._comparisons), num_heads)
        return bootstrap_counts(self._comparisons, num_heads, self._config.seed)

    def _accumulate(self, indices: Tensor) -> Tensor:
        """Add up the gradients of this rank's share of a batch.

        Returns:
            On CPU: this rank's summed losses, hits, and comparisons that could be hit; and with a
            mark head those of `MarkLosses.of`.
        """
        engine = self._engine
        # Ranks must run equally many passes: a batch that cannot be cut evenly is filled up with
        # comparisons of weight 0.
        filling = -len(indices) % engine.world_size
        present = torch.cat([torch.ones(len(indices)), torch.zeros(filling)])
        indices = torch.cat([indices, indices[:1].expand(filling)])
        sizes = torch.tensor([self._sizes[index] for index in indices.tolist()])
        _, passes = cut_into_passes(engine, sizes, self._limits)
        runs = [
            partial(self._losses, indices[rows], present[rows], present.sum()) for rows in passes
        ]
        return torch.stack(engine.accumulate(runs)).sum(dim=0)

    def _losses(
        self, indices: Tensor, present: Tensor, num_present: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the loss of one pass, a share of its batch's, and its sums as `_accumulate`.

        Args:
            indices: [B] of the comparisons.
            present: [B], 0 where one only fills the batch up.
            num_present: Comparisons of the batch, on all ranks.
        """
        chosen = [self._comparisons[index] for index in indices.tolist()]
        batch = collate_comparisons(chosen, self._reliability).to(self._engine.device)
        raw, values = self._forward(chosen, batch)
        scores = batch.spread((raw * self._gain.to(raw)).float())
        weights = present.to(scores.device)
        losses = comparison_losses(scores, batch) * weights[:, None]
        learned = (losses * self._counts[indices].to(losses)).mean(dim=1).sum()
        hit, decided = hits(scores.detach().mean(dim=2), batch)
        sums = torch.stack(
            [losses.detach().mean(dim=1).sum(), (hit * weights).sum(), (decided * weights).sum()]
        )
        sums = sums.cpu()
        if self._marks is not None and values is not None:
            lost, counted = self._marks.of(indices.tolist(), weights, values)
            learned, sums = learned + lost.sum(), torch.cat([sums, counted])
        return learned / num_present.to(losses), sums

    def _forward(
        self, chosen: Sequence[Comparison], batch: ComparisonBatch
    ) -> tuple[Tensor, Tensor | None]:
        """Return raw scores, [N, M], and mark values, [N, L], where the model has them."""
        ids, mask = batch.input_ids, batch.attention_mask
        if self._marks is None:
            features = self._reading.features(self._engine.module, chosen)
            return self._engine(ids, mask, features=features), None
        raw, values = self._engine(ids, mask, with_marks=True)
        return raw, values


def _padded_tokens(comparison: Comparison, candidates: int | None = None) -> int:
    """Return the tokens of all candidates, each with its prompt and padded to the longest.

    Args:
        comparison: That one.
        candidates: How many to count; None: those it has.
    """
    responses = comparison.candidate_token_ids
    longest = max(len(response) for response in responses)
    return (candidates or len(responses)) * (len(comparison.prompt_token_ids) + longest)
