"""What weights, gradients and optimizer take on one rank, by DeepSpeed's stages.

P weights, of which the largest parameter has L; W ranks; e bytes of a number of the engine's type.
Beside adapters, P is in the first column all weights, and in the others those that are trained.
Adam keeps two moments in float32, 8 bytes a weight; wherever the optimizer moves something else
than the parameters themselves, that is a float32 copy, 4 more. From DeepSpeed 0.19.8:

    stage  type      weights  optimizer  gradients  read in
    0      float32   4P       8P         4P         torch's AdamW over the parameters
    1      bfloat16  2P       12P/W      4P         bf16_optimizer.py: float32 sums on every rank
    1      float32   4P       12P/W      4P         zero/stage_1_and_2.py
    2      both      eP       12P/W      4P/W       the same
    3      both      eP/W     12P/W      4P/W       zero/stage3.py

The average that `learner.ema` keeps is of what the optimizer moves, in float32, and lies where its
moments do: 4 bytes more in the column of the optimizer, 8P becoming 12P and 12P/W 16P/W.

DeepSpeed's own estimator of stage 2 (`estimate_zero2_model_states_mem_needs`) counts 2 bytes more
for gradients in half precision, which come and go here; that of stage 3 counts the same. Tests
compare all of it with DeepSpeed, its real engines among it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from cluster.planning.models import BYTES, Weights
from learners.config import DeepSpeedConfig

BUCKET = 500_000_000
"""Numbers of a bucket in which gradients travel: DeepSpeed's `reduce_bucket_size`."""
GATHERED = 1_000_000_000
"""Weights that ZeRO-3 holds whole at a time: its `stage3_max_live_parameters`."""
MOMENTS = 8
"""Bytes a weight of both moments of Adam."""
AVERAGE = 4
"""Bytes a weight of an average over versions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelStates:
    """Bytes on one rank, all but activations."""

    weights: int
    optimizer: int
    """Moments, the float32 weights that the optimizer moves, and an average of these; on the host
    where offloaded."""
    gradients: int
    """Sums of gradients from the first backward pass to the step."""
    buckets: int
    """Memory for gradients under way, there in every backward pass."""
    gathered: int
    """Weights of other ranks, held while layers run."""
    stepping: int
    """The most that the end of the last backward pass, or the step, takes beyond gradients and
    buckets; no activations are held then."""
    gradients_are_new: bool
    """Whether each backward pass makes gradients of its own in the type of the weights."""
    gradients_are_kept: bool
    """Whether memory for their sums is there between steps too."""
    offloaded: int
    """Bytes on the host, where the optimizer is."""


def model_states(
    weights: Weights, config: DeepSpeedConfig, *, has_many_passes: bool, has_average: bool = False
) -> ModelStates:
    """Return what one rank of an engine holds.

    Args:
        weights: Of its module.
        config: Of the engine.
        has_many_passes: Whether gradients of several passes are added up before a step.
        has_average: Whether an average over versions is kept.
    """
    size, total, largest = BYTES[config.dtype], weights.trained, weights.largest_of_trained
    ranks = config.num_ranks
    is_half = config.dtype == "bfloat16"
    stage = max(config.zero_stage, 1) if is_half else config.zero_stage
    own = -(-total // ranks)
    bucket = min(total, BUCKET)
    if stage == 0:
        states = ModelStates(
            weights=size * weights.total,
            optimizer=MOMENTS * total,
            gradients=4 * total,
            buckets=0,
            gathered=0,
            stepping=4 * bucket,
            gradients_are_new=not has_many_passes,
            gradients_are_kept=False,
            offloaded=0,
        )
    elif stage == 1 and is_half and not config.offload_optimizer:
        states = ModelStates(
            weights=size * weights.total,
            optimizer=(4 + MOMENTS) * own,
            gradients=4 * total,
            buckets=0,
            gathered=0,
            stepping=size * total + max(4 * largest, size * bucket),
            gradients_are_new=True,
            gradients_are_kept=True,
            offloaded=0,
        )
    elif stage == 1:
        states = ModelStates(
            weights=size * weights.total,
            optimizer=(4 + MOMENTS) * own,
            gradients=4 * total,
            buckets=4 * BUCKET,
            gathered=0,
            stepping=max(4 * largest, 4 * own - 4 * BUCKET),
            gradients_are_new=is_half or not has_many_passes,
            gradients_are_kept=is_half,
            offloaded=0,
        )
    else:
        states = _spread(stage, size, weights, own, bucket, ranks)
    if has_average:
        averaged = AVERAGE * (total if stage == 0 else own)
        states = replace(states, optimizer=states.optimizer + averaged)
    return _offloaded(states, stage, size, own, largest) if config.offload_optimizer else states


def _spread(
    stage: int, size: int, weights: Weights, own: int, bucket: int, ranks: int
) -> ModelStates:
    """Return the states of stages 2 and 3, in which gradients are spread too.

    Stage 3 fetches one parameter more than it holds.

    At the end of a bucket there are its gradients in their own type, and this rank's share of them,
    or one parameter's, in float32.
    """
    at_once = 4 * min(own, BUCKET) if stage == 3 else 4 * weights.largest_of_trained
    is_gathered = stage == 3 and ranks > 1
    gathered = min(weights.total, GATHERED) + weights.largest if is_gathered else 0
    return ModelStates(
        weights=size * (weights.total if stage == 2 else -(-weights.total // ranks)),
        optimizer=(4 + MOMENTS) * own,
        gradients=4 * own,
        buckets=size * BUCKET,
        gathered=size * gathered,
        stepping=size * bucket + at_once,
        gradients_are_new=False,
        gradients_are_kept=stage == 3,
        offloaded=0,
    )


def _offloaded(states: ModelStates, stage: int, size: int, own: int, largest: int) -> ModelStates:
    """Return the states with the optimizer on the host.

    There are its float32 weights and moments, the sums of gradients, one more copy of these while
    it steps, and a pinned one of the weights by which they come back.
    """
    return replace(
        states,
        optimizer=0,
        gradients=states.gradients if stage == 1 else 0,
        stepping=states.stepping + size * largest,
        offloaded=states.optimizer + (4 + 4 + size) * own + size * largest,
    )
