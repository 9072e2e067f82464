"""What can be checked before anything is started, cheapest first, so that mistakes show at once."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

import psutil
import structlog

from actors.memory import check_free_memory
from cluster.config import RunConfig
from cluster.starting.environment import cluster_address
from cluster.starting.policy_source import policy_folder
from cluster.starting.prompts import RunTexts, read_texts
from label_queue.config import LabelsConfig
from label_queue.connectors.secrets import check_secrets
from label_queue.labeling.guidelines import read_guidelines
from label_queue.quality.gold_tasks import read_gold
from protocol.errors import ResourceError
from protocol.model_folder import ModelFolder, inspect_model

CONNECT_TIMEOUT_S = 5.0

_log = structlog.get_logger(component="preflight")


def check_before_start(config: RunConfig) -> RunTexts | None:
    """Check what a run is given: ports, memory, addresses, the policy, prompts and label files.

    Returns:
        What was read to check it; None where the policy is yet to be made.

    Raises:
        UserError: Something cannot work; names it and the mend.
    """
    free_port(config.cluster.http_host, config.cluster.http_port)
    address = cluster_address(config.cluster.address)
    if address is not None:
        _check_ray(address)
    elif not config.cluster.gpus_per_actor:
        num_actors = config.rollouts.num_actors
        free_bytes = psutil.virtual_memory().available
        check_free_memory(config.rollouts.kv_cache_gib, num_actors, free_bytes)
    if config.metrics.wandb == "online":
        # Imported where it is asked for: wandb takes half a second to import.
        from cluster.metrics.wandb_sink import check_online

        check_online()
    check_label_files(config.labels)
    if address is None:
        check_secrets(config.labels.connectors)
    if config.policy is None:
        return None
    folder = policy_folder(config.policy.path)
    _tell_of_strange_tokens(inspect_model(folder))
    texts = read_texts(config, folder)
    # Imported once all that is cheaper was checked: torch and transformers take seconds.
    from reward_service.pretrained import check_loads

    check_loads(folder)
    return texts


def _tell_of_strange_tokens(model: ModelFolder) -> None:
    """Say that the tokenizer has tokens of its own; texts that hold one are refused by their line.

    Models are published that have some, so this alone is no mistake.
    """
    if model.ids_beyond:
        first = min(model.ids_beyond)
        _log.warning(
            "tokens_beyond_the_embeddings",
            model=str(model.path),
            num_embeddings=model.num_embeddings,
            first_id=first,
            first_token=model.ids_beyond[first],
            count=len(model.ids_beyond),
        )


def check_label_files(labels: LabelsConfig) -> None:
    """Raise MissingError or InputError where guidelines or gold cannot be read; names the key."""
    read_guidelines(labels.guidelines)
    if labels.quality.gold.path is not None:
        read_gold(labels.quality.gold.path, labels.num_candidates)


def no_ray_cluster(address: str) -> ResourceError:
    """Return the error to raise where no Ray cluster answers."""
    return ResourceError(
        f"no Ray cluster answers at {address}: start one with `ray start --head` or unset "
        "RAY_ADDRESS to run on this machine alone"
    )


def free_port(host: str, port: int) -> int:
    """Return `port` if it can be bound, or a free one for 0.

    Raises:
        ResourceError: The port is taken.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ResourceError(
                f"port {port} on {host} is in use: set cluster.http_port to another, or to 0 for a "
                "free one"
            ) from error
        return int(probe.getsockname()[1])


def _check_ray(address: str) -> None:
    """Try the cluster's port: Ray itself would go on trying for a minute."""
    at = urlsplit(f"//{address}")
    if at.hostname is None or at.port is None:
        return  # a name such as "auto", which Ray looks up
    try:
        socket.create_connection((at.hostname, at.port), CONNECT_TIMEOUT_S).close()
    except OSError as error:
        raise no_ray_cluster(address) from error
