"""W ranks of one DeepSpeed group, driven as one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

import ray
from ray.util.placement_group import (
    PlacementGroup,
    placement_group,
    placement_group_table,
    remove_placement_group,
)
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from cluster.starting.nodes import NodeWait
from cluster.supervision.deadlines import answered_within
from learners.shell import Rank
from protocol.errors import AndonError, PartFailed, ResourceError
from protocol.remote import Remote

AnyRank = TypeVar("AnyRank", bound=Rank)
P = ParamSpec("P")
R = TypeVar("R")

PLACEMENT_POLL_S = 0.1
PLACED = "CREATED"
"""Ray's word for a placement group that has its resources."""
DEATH_IS_TOLD_S = 10.0
"""How long Ray may take to tell of a process that is gone."""


async def place(
    bundles: Sequence[dict[str, float]], strategy: str, what: str, nodes: NodeWait
) -> PlacementGroup:
    """Reserve resources for a group of processes.

    Args:
        bundles: Resources of each process, e.g. {"CPU": 1.0}.
        strategy: "PACK" near each other, "SPREAD" over the nodes.
        what: For people, e.g. "2 rollout actors".
        nodes: Shows that they wait, and says for how long.

    Raises:
        ResourceError: The cluster had no room for them all that time.
    """
    group = placement_group(list(bundles), strategy=strategy)
    asked = nodes.ask(what, bundles)
    try:
        # Not `group.ready()`: that starts a process there, which takes its time on a busy machine.
        while (table := placement_group_table(group))["state"] != PLACED:
            nodes.placed(asked, sum(map(bool, table["bundles_to_node_id"].values())))
            if nodes.is_over(asked):
                raise ResourceError(nodes.lack(asked))
            await asyncio.sleep(PLACEMENT_POLL_S)
    except (ResourceError, asyncio.CancelledError):
        nodes.forget(what)
        remove_placement_group(group)
        raise
    nodes.placed(asked, len(bundles))
    return group


def on_bundle(group: PlacementGroup, index: int, resources: dict[str, float]) -> dict[str, Any]:
    """Return the options that start an actor on one bundle of a placement group."""
    return {
        "num_cpus": resources.get("CPU", 0),
        "num_gpus": resources.get("GPU", 0),
        "scheduling_strategy": PlacementGroupSchedulingStrategy(
            placement_group=group, placement_group_bundle_index=index
        ),
    }


class RankGroup(Generic[AnyRank]):
    """All ranks of a learner: each call goes to every rank, the answer is rank 0's.

    Args:
        ranks: Rank 0 first.
        timeout_s: After how long without an answer to a call they are taken for dead.
    """

    def __init__(self, ranks: Sequence[Remote[AnyRank]], timeout_s: float) -> None:
        self._ranks = ranks
        self._timeout_s = timeout_s

    async def ask(
        self, method: Callable[Concatenate[AnyRank, P], R], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """Call a method on all ranks at once; they meet in collectives, so all must be called.

        The first error is raised, though others still wait for that rank in a collective.

        Raises:
            ActorDied: A rank's process is gone, or silent for too long.
        """
        async with self._answered(method.__name__):
            return await self._ask_all(method, *args, **kwargs)

    async def _ask_all(
        self, method: Callable[Concatenate[AnyRank, P], R], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        calls = [asyncio.ensure_future(rank.ask(method, *args, **kwargs)) for rank in self._ranks]
        try:
            answers: list[R] = await asyncio.gather(*calls)
        except AndonError:
            raise
        except Exception:
            # A rank may miss another in a collective before Ray has told that this one is dead.
            await asyncio.wait(calls, timeout=DEATH_IS_TOLD_S, return_when=asyncio.ALL_COMPLETED)
            for call in calls:
                if call.done() and isinstance(death := call.exception(), PartFailed):
                    raise death from None
            raise
        return answers[0]

    async def meeting_point(self) -> tuple[str, int]:
        """Return where the ranks can meet in one process group: rank 0's address and a port.

        By then all have imported what they need to start.
        """
        async with self._answered("come up"):
            await self._ask_all(Rank.come_up)
            return await self._ranks[0].ask(Rank.address)

    def _answered(self, what: str) -> AbstractAsyncContextManager[None]:
        silent = (
            f"the run waited {self._timeout_s:g} s for {self._ranks[0].who} to {what}, and takes "
            "it for dead"
        )
        return answered_within(self._timeout_s, silent)

    def kill(self) -> None:
        """End the ranks' processes at once. May be called twice."""
        for rank in self._ranks:
            ray.kill(rank.handle)

    def end(self, group: PlacementGroup) -> None:
        """End the ranks' processes and give their places back."""
        self.kill()
        remove_placement_group(group)
