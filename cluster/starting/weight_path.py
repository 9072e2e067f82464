"""Which way weights go from learner to actors, by where Ray has placed these."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from actors.config import WeightTransportName
from cluster.starting.remote import RemoteActor, RemoteLearner
from protocol.errors import ConfigError, ResourceError


def transport_between(
    wanted: WeightTransportName, learner: str, actors: Collection[str]
) -> WeightTransportName:
    """Return how weights travel, "auto" no more.

    Args:
        wanted: As the config has it.
        learner: Id of the node of the learner's rank 0, which publishes.
        actors: Ids of the nodes of all actors.

    Raises:
        ConfigError: They cannot, between these nodes.
    """
    elsewhere = {*actors} - {learner}
    if wanted == "auto":
        return "object_store" if elsewhere else "shared_memory"
    if wanted == "shared_memory" and elsewhere:
        raise ConfigError(
            "rollouts.weight_transport 'shared_memory' is for one node, and rollout actors were "
            f"placed on other nodes ({_short(elsewhere)}) than the learner ({_short([learner])}): "
            "leave it at 'auto', or choose 'object_store' or 'nccl'"
        )
    return wanted


async def check_one_gpu(learner: RemoteLearner, actors: Sequence[RemoteActor]) -> None:
    """Refuse processes that are to open memory of each other's GPU and have not the same one.

    Raises:
        ResourceError: They have not; says which.
    """
    of_learner = await learner.gpus()
    for actor in actors:
        if (gpus := await actor.gpus()) != of_learner:
            raise ResourceError(
                "rollouts.weight_transport 'ipc' is for one GPU, and the learner was placed on "
                f"{_listed(of_learner)}, {actor.who} on {_listed(gpus)}: choose 'auto', or 'nccl' "
                "with whole GPUs"
            )


def _short(nodes: Collection[str]) -> str:
    return ", ".join(sorted(node[:8] for node in nodes))


def _listed(gpus: Collection[str]) -> str:
    return " and ".join(sorted(gpus)) or "none"
