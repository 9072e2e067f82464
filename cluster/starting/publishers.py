"""Which end of the weight path the learner gets: chosen here, made in the learner's process.

What publishes weights imports torch, so that each is imported where it is made.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import ray

from actors.config import WeightTransportName
from cluster.config import RunConfig
from protocol.ports import WeightPublisher

SHARED_MEMORY = Path("/dev/shm")


def publisher_maker(
    config: RunConfig, actor_ids: Sequence[str], transport: WeightTransportName, run_id: str
) -> Callable[[], WeightPublisher]:
    """Return what makes the publisher on rank 0 of the learner; it can be sent there.

    Args:
        config: The resolved config.
        actor_ids: Of all rollout actors.
        transport: How weights travel; not "auto".
        run_id: Names a folder in shared memory, beside the process that asks for it.
    """
    rollouts = config.rollouts
    # While an actor loads one, the learner may get η versions further.
    kept_versions = config.run.max_policy_lag + 2
    assert transport != "auto", "it is chosen by then"
    match transport:
        case "shared_memory":
            begins = SHARED_MEMORY / f"andon-{run_id}-{os.getpid()}"
            return partial(_shared_memory_publisher, begins, kept_versions)
        case "object_store":
            return partial(_object_store_publisher, kept_versions)
        case "ipc":
            return partial(_ipc_publisher, actor_ids, kept_versions)
        case "nccl":
            devices = rollouts.tensor_parallel_size
            return partial(
                _nccl_publisher, actor_ids, devices, kept_versions, rollouts.push_timeout_s
            )


def _shared_memory_publisher(begins: Path, kept_versions: int) -> WeightPublisher:
    from learners.weights import SharedMemoryPublisher

    return SharedMemoryPublisher(begins, kept_versions)


def _object_store_publisher(kept_versions: int) -> WeightPublisher:
    from learners.weights import ObjectStorePublisher

    return ObjectStorePublisher(ray.put, kept_versions)


def _ipc_publisher(actor_ids: Sequence[str], kept_versions: int) -> WeightPublisher:
    from learners.ipc_weights import IpcPublisher

    return IpcPublisher(actor_ids, kept_versions)


def _nccl_publisher(
    actor_ids: Sequence[str], devices_per_actor: int, kept_versions: int, timeout_s: float
) -> WeightPublisher:
    from actors.vllm_broadcast import NcclBroadcast, new_unique_id
    from learners.nccl_weights import NcclPublisher

    broadcast = NcclBroadcast(actor_ids, devices_per_actor, new_unique_id())
    return NcclPublisher(broadcast, kept_versions, timeout_s)
