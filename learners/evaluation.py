"""What policy and reference policy say of a batch before it is trained on.

Shapes: B sequences, T response tokens.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from learners.collate import Responses
from learners.engine import Engine
from learners.passes import cut_into_passes
from learners.reference import Reference
from learners.targets import Evaluation
from reward_service.buckets import BatchLimits


def evaluate(
    responses: Responses,
    engine: Engine,
    reference: Reference,
    limits: BatchLimits,
    version: int,
) -> Evaluation:
    """Run the forward passes of a batch once, each rank its share. A collective.

    Args:
        responses: The batch, the same on every rank.
        engine: Of the policy.
        reference: ρ.
        limits: Of one pass.
        version: The policy's.
    """
    order, passes = cut_into_passes(engine, responses.lengths, limits)
    rows = [responses.rows(own) for own in passes]
    said = engine.passes.each([partial(_evaluated, engine, each) for each in rows])
    references = reference.logprobs([each.model_inputs() for each in rows])
    chunks = [
        nn.functional.pad(
            torch.cat([own, reference_logprobs[:, None]], dim=1),
            (0, responses.num_tokens - own.shape[2]),
        )
        for own, reference_logprobs in zip(said, references, strict=True)
    ]
    ordered = engine.gathered(torch.cat(chunks))
    parts = torch.empty_like(ordered).index_copy_(0, order, ordered) * responses.mask[:, None]
    logprobs, values, entropy, reference_logprobs = parts.unbind(dim=1)
    return Evaluation(
        version=version,
        proximal_logprobs=logprobs,
        reference_logprobs=reference_logprobs,
        values=values,
        entropy=entropy,
    )


@torch.no_grad()
def _evaluated(engine: Engine, rows: Responses) -> Tensor:
    """Return what the policy says of some rows, [b, 3, T]: log π, V and the entropy."""
    return torch.stack(engine.module(*rows.model_inputs(), with_entropy=True), dim=1)
