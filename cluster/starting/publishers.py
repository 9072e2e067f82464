"""Which end of the weight path the learner gets: made here, used in the learner's process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import ray

from cluster.config import RunConfig
from learners.ipc_weights import IpcPublisher
from learners.nccl_weights import NcclPublisher
from learners.weights import ObjectStorePublisher, SharedMemoryPublisher
from protocol.ports import WeightPublisher


def publisher_maker(
    config: RunConfig, actor_ids: Sequence[str], shared_folder: Path
) -> Callable[[], WeightPublisher]:
    """Return what makes the publisher on rank 0 of the learner; it can be sent there.

    Args:
        config: The resolved config.
        actor_ids: Of all rollout actors.
        shared_folder: In shared memory and of this run alone.
    """
    rollouts = config.rollouts
    # While an actor loads one, the learner may get η versions further.
    kept_versions = config.run.max_policy_lag + 2
    match rollouts.weight_transport:
        case "shared_memory":
            return partial(SharedMemoryPublisher, shared_folder, kept_versions)
        case "object_store":
            return partial(ObjectStorePublisher, ray.put, kept_versions)
        case "ipc":
            return partial(IpcPublisher, actor_ids, kept_versions)
        case "nccl":
            devices = rollouts.tensor_parallel_size
            return partial(
                _nccl_publisher, actor_ids, devices, kept_versions, rollouts.push_timeout_s
            )


def _nccl_publisher(
    actor_ids: Sequence[str], devices_per_actor: int, kept_versions: int, timeout_s: float
) -> WeightPublisher:
    # vLLM takes ten seconds to import, and only this transport needs it here.
    from actors.vllm_broadcast import NcclBroadcast, new_unique_id

    broadcast = NcclBroadcast(actor_ids, devices_per_actor, new_unique_id())
    return NcclPublisher(broadcast, kept_versions, timeout_s)
