"""Cutting a batch into forward passes of like lengths, the same number of them on every rank."""

from __future__ import annotations

import torch
from torch import Tensor

from learners.config import DeepSpeedConfig
from learners.engine import Engine
from reward_service.buckets import BatchLimits, buckets

ANY_NUMBER = 2**62
"""More tokens than any pass has."""


def pass_limits(config: DeepSpeedConfig) -> BatchLimits:
    """Return how large one pass of an engine may be on one rank."""
    tokens = config.micro_batch_tokens
    return BatchLimits(
        max_tokens=ANY_NUMBER if tokens is None else tokens, max_sequences=config.micro_batch_size
    )


def cut_into_passes(
    engine: Engine, lengths: Tensor, limits: BatchLimits
) -> tuple[Tensor, list[Tensor]]:
    """Return the rows of a batch, pass by pass, and this rank's rows of each pass.

    Every rank gets as many passes as the others, each of as many rows. In the order of the first,
    the ranks' results come together in `Engine.gathered`. The pass with most tokens comes first, so
    that those that go side by side end at about the same time (Graham 1969).

    Args:
        engine: Knows this rank and how many there are.
        lengths: [B] tokens, B a multiple of the ranks.
        limits: Of one pass on one rank; fewer rows where passes go side by side and some would
            lack.
    """
    order = lengths.argsort(stable=True)
    # W rows at a time, of which each rank takes one.
    longest = lengths[order][engine.world_size - 1 :: engine.world_size]
    most = engine.passes.rows_of_a_pass(len(longest), limits.max_sequences)
    limits = BatchLimits(max_tokens=limits.max_tokens, max_sequences=most)
    passes = buckets(longest.tolist(), limits)
    passes.sort(key=lambda units: len(units) * int(longest[units[-1]]), reverse=True)
    by_unit, own = order.view(-1, engine.world_size), engine.share(order)
    in_turn = torch.cat([by_unit[units] for units in passes]).flatten()
    return in_turn, [own[units] for units in passes]
