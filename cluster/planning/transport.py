"""What policy versions take on their way from learner to actors, by transport."""

from __future__ import annotations

from cluster.config import RunConfig
from cluster.planning.models import BYTES, MetaModels, PolicyKind


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
    """Return what rank 0 keeps of versions on its device."""
    if run.rollouts.weight_transport != "ipc":
        return 0
    return kept_versions(run) * version_bytes(run, models)


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

    Whole weights are put together one at a time, for an object store into one value. Adapters that
    travel are copied first, and laid out.
    """
    own = joining_bytes(run, models)
    if run.policy_lora is not None and run.rollouts.adapters_travel:
        own = 2 * BYTES[run.learner.dtype] * models.policy(policy_kind(run)).trained
    match run.rollouts.weight_transport:
        case "object_store":
            return own + version_bytes(run, models)
        case "nccl":
            return own + kept_versions(run) * version_bytes(run, models)
        case "shared_memory" | "ipc":
            return own


def shared_copies(run: RunConfig, models: MetaModels) -> int:
    """Return what versions take of shared memory or the object store, with one being written."""
    if run.rollouts.weight_transport not in ("shared_memory", "object_store"):
        return 0
    return (kept_versions(run) + 1) * version_bytes(run, models)


def loading_copies(run: RunConfig, models: MetaModels) -> int:
    """Return what an actor takes of the host to load a version.

    From the object store it has the bytes, sends them to the engine's process, which parses them.
    """
    if run.rollouts.weight_transport != "object_store":
        return 0
    return 3 * version_bytes(run, models)
