"""What policy versions take on their way from learner to actors, by transport."""

from __future__ import annotations

from cluster.config import RunConfig
from cluster.planning.models import BYTES, MetaModels, PolicyKind
from cluster.planning.needs import GIB
from learners.weights import PIECE_BYTES

PACKED = GIB
"""Bytes at which vLLM takes a buffer of weights for full."""
PACKED_BUFFERS = 2
"""How many it has on their way."""


def kept_versions(run: RunConfig) -> int:
    """Return how many versions stay readable: while one is loaded, η more may come."""
    return run.run.max_policy_lag + 2


def policy_kind(run: RunConfig) -> PolicyKind:
    """Return what a run trains by PPO."""
    return PolicyKind(
        critic=run.ppo.critic,
        lora=run.policy_lora,
        has_own_critic=run.ppo.critic_path is not None,
    )


def whole_version_bytes(run: RunConfig, models: MetaModels) -> int:
    """Return the bytes of all weights of a version, in the learner's type."""
    return BYTES[run.learner.dtype] * models.published


def version_bytes(run: RunConfig, models: MetaModels) -> int:
    """Return the bytes of one published version, which may be adapters alone."""
    if run.policy_lora is not None and run.rollouts.adapters_travel:
        return BYTES[run.learner.dtype] * models.adapters(run.policy_lora).total
    return whole_version_bytes(run, models)


def device_copies(run: RunConfig, models: MetaModels) -> int:
    """Return what rank 0 has of versions on its device, beside the weights that it trains."""
    if run.rollouts.weight_transport == "ipc":
        return kept_versions(run) * version_bytes(run, models)
    return packed_bytes(run, models)


def packed_bytes(run: RunConfig, models: MetaModels) -> int:
    """Return what vLLM's buffers take of a device at either end of "nccl", while it sends.

    A buffer is closed by the weight with which it is full. While it is filled there are what goes
    into it and the buffers before, or, of a model that fits into one, that and what it is made of.
    """
    if run.rollouts.weight_transport != "nccl":
        return 0
    largest = BYTES[run.learner.dtype] * models.policy(policy_kind(run)).largest
    return min((1 + PACKED_BUFFERS) * (PACKED + largest), 2 * version_bytes(run, models))


def joining_bytes(run: RunConfig, models: MetaModels) -> int:
    """Return what rank 0 takes of the host while one weight of the policy is put together.

    Where adapters are added to it, there are the weight, what they add twice, and the sum, all in
    float32.
    """
    policy = models.policy(policy_kind(run))
    own = BYTES[run.learner.dtype] * policy.largest
    if run.policy_lora is None:
        return own
    return own + 4 * 4 * models.adapters(run.policy_lora).largest_adapted


def host_copies(run: RunConfig, models: MetaModels) -> int:
    """Return what rank 0 takes of the host to publish one version, or keeps there to send it.

    Whole weights are put together one at a time, for an object store into pieces, of which Ray has
    another as it puts one there. Adapters that travel are copied first, and laid out.
    """
    own = joining_bytes(run, models)
    if run.policy_lora is not None and run.rollouts.adapters_travel:
        own = 2 * BYTES[run.learner.dtype] * models.policy(policy_kind(run)).trained
    match run.rollouts.weight_transport:
        case "object_store":
            return own + 2 * piece_bytes(run, models)
        case "nccl":
            return own + kept_versions(run) * version_bytes(run, models)
        case "auto" | "shared_memory" | "ipc":
            return own


def shared_copies(run: RunConfig, models: MetaModels) -> int:
    """Return what versions take of shared memory or the object store, with one being written."""
    if run.rollouts.goes_by_device:
        return 0
    return (kept_versions(run) + 1) * version_bytes(run, models)


def loading_copies(run: RunConfig, models: MetaModels) -> int:
    """Return what an actor takes of the host to load a version.

    From the object store it has a piece and sends it to the engine's process, which puts weights
    together: one layer's at a time, or, where they are adapters, all.
    """
    if run.rollouts.weight_transport != "object_store":
        return 0
    policy = models.policy(policy_kind(run))
    layer = BYTES[run.learner.dtype] * max(policy.largest, policy.layer)
    return 3 * piece_bytes(run, models) + min(layer, version_bytes(run, models))


def piece_bytes(run: RunConfig, models: MetaModels) -> int:
    """Return the bytes of the largest piece of a version in an object store."""
    return min(PIECE_BYTES, version_bytes(run, models))
