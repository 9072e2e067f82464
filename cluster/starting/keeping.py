"""What owns the run's folder stays on the run's own node; others reach the folders by a keeper."""

from __future__ import annotations

from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from cluster.config import RunConfig
from cluster.run_folder import RunFolder
from cluster.starting.environment import cluster_address
from cluster.stores.config import SHARED_DISK
from cluster.stores.shell import KEEPER_OPTIONS, KeeperShell
from cluster.stores.whereabouts import Whereabouts
from protocol.remote import Remote, spawn


def on_this_node() -> dict[str, Any]:
    """Return the options that start an actor on the node where the driver and the run's folder are.

    It is never started elsewhere: its files are not there.
    """
    here = ray.get_runtime_context().get_node_id()
    return {"scheduling_strategy": NodeAffinitySchedulingStrategy(here, soft=False)}


def whereabouts_of(config: RunConfig, folder: RunFolder) -> Whereabouts:
    """Return how the run's processes reach its folders, in an open session."""
    cluster = config.cluster
    is_alone = cluster_address(cluster.address) is None
    context = ray.get_runtime_context()
    return Whereabouts(
        run=folder.path.resolve(),
        store=cluster.store,
        cache=cluster.cache,
        cache_gib=cluster.cache_gib,
        node=None if is_alone else context.get_node_id(),
        namespace=None if is_alone else context.namespace,
    )


def start_keeper(whereabouts: Whereabouts) -> Remote[KeeperShell] | None:
    """Start the keeper, which lives as long as what is returned; None where nobody needs one."""
    if whereabouts.node is None or whereabouts.store == SHARED_DISK:
        return None
    options = {**KEEPER_OPTIONS, **on_this_node()}
    return spawn(KeeperShell, "the folder keeper", options)(whereabouts.at_home)
