"""What can be checked before anything is started, cheapest first, so that mistakes show at once."""

from __future__ import annotations

from pathlib import Path

import psutil

from actors.memory import check_free_memory
from cluster.cluster_config import ClusterConfig
from cluster.config import RunConfig
from cluster.run_folder import RunFolder
from cluster.starting.environment import cluster_address
from cluster.starting.folders import check_home, check_ray_temp, check_writable
from cluster.starting.policy_reading import PolicyReading
from cluster.starting.policy_source import model_shape, policy_folder
from cluster.starting.ports import REWARD_PORT, check_ray, free_port
from cluster.starting.prompts import RunTexts, check_texts, read_texts
from cluster.stores.config import OBJECT_STORE, SHARED_DISK
from label_queue.config import LabelsConfig
from label_queue.connectors.outposts import check_tools
from label_queue.connectors.places import refuse_shared_places
from label_queue.intake.sign_in.secret import read_client_secret
from label_queue.labeling.guidelines import read_guidelines
from label_queue.ledger.opening import is_there
from label_queue.ledger.sql import SqlLedger
from label_queue.quality.gold_tasks import read_gold
from label_queue.simulated.gold.registry import gold_of
from protocol.errors import ResourceError
from protocol.logs import logger_of
from protocol.model_folder import ModelFolder

_log = logger_of("preflight")


def check_before_start(config: RunConfig, folder: Path, cache: Path) -> RunTexts | None:
    """Check what a run is given: ports, memory, addresses, folders, the policy, prompts and labels.

    Args:
        config: The resolved config.
        folder: Where the run will be kept; it need not be there yet.
        cache: Where a base model will be kept, if one is made.

    Returns:
        What was read to check it; None where the policy is yet to be made.

    Raises:
        UserError: Something cannot work; names it and the mend.
    """
    check_writable(folder, "the run's folder", "name another with --folder")
    if config.base_model is not None:
        check_writable(cache, "the base model's folder", "start from a folder of yours")
    address = cluster_address(config.cluster.address)
    _check_places(config, address)
    # A server's is the label queue's node's to reach, by that one's environment.
    if address is None or not config.labels.ledger_url:
        _check_ledger(RunFolder(folder), config.labels)
    check_home()
    check_store(config.cluster, folder)
    if address is None:
        check_ray_temp()
    if config.metrics.wandb == "online":
        # Imported where it is asked for: wandb takes half a second to import.
        from cluster.metrics.wandb_sink import check_online

        check_online()
    _check_label_side(config)
    _check_reward(config)
    if address is None:
        _check_outside(config.labels)
    _check_critic(config)
    if config.policy is None:
        assert config.base_model is not None, "a run starts from one of the two"
        # They are read once it is made, and here too: that takes minutes, and faults came late.
        check_texts(config, PolicyReading.of_recipe(config.base_model))
        check_models(config)
        return None
    policy = policy_folder(config.policy.path, config.policy.revision)
    reading = PolicyReading.of_folder(policy)
    _tell_of_strange_tokens(reading.model)
    texts = read_texts(config, reading)
    # Imported once all that is cheaper was checked: torch and transformers take seconds.
    from reward_service.pretrained import check_loads

    check_loads(policy)
    check_models(config)
    if address is None:
        check_room(config, folder)
    return texts


def _check_places(config: RunConfig, address: str | None) -> None:
    """Check where the run listens, and the cluster that it joins or makes."""
    free_port(config.cluster.http_host, config.cluster.http_port)
    if config.cluster.certificate is not None:
        config.cluster.certificate.check()
    free_port(config.cluster.own_host, config.cluster.reward_port, REWARD_PORT)
    if address is not None:
        check_ray(address)
        return
    if not config.cluster.gpus_per_actor:
        num_actors = config.rollouts.num_actors
        free_bytes = psutil.virtual_memory().available
        check_free_memory(config.rollouts.kv_cache_gib, num_actors, free_bytes)


def check_store(config: ClusterConfig, folder: Path) -> None:
    """Write to the store of folders and read it, where it is at a URL; and this node's copies.

    Raises:
        ConfigError: No such store is known, or it has folders of another run of this name.
        ResourceError: It refuses, or this node can keep no copies.
    """
    if config.cache is not None:
        check_writable(Path(config.cache), "cluster.cache", "name another folder, on every node")
    if config.store in (OBJECT_STORE, SHARED_DISK):
        return
    # Imported where there is one: fsspec and Ray take their time.
    from cluster.stores.whereabouts import Whereabouts

    Whereabouts(
        run=folder.resolve(), store=config.store, cache=config.cache, cache_gib=config.cache_gib
    ).check(is_new=not RunFolder(folder).state.exists())


def check_models(config: RunConfig) -> None:
    """Refuse adapters and a number of layers that do not fit the model.

    Else a fit would find out, for which people have labelled and a base model was made.

    Raises ConfigError; of adapters it names the section, the layer, and those there are.
    """
    reward = config.reward_model
    if config.policy_lora is None and reward.lora is None and reward.layers is None:
        return
    from cluster.planning.models import MetaModels
    from cluster.planning.transport import policy_kind

    models = MetaModels(model_shape(config), follows_passes=False)
    models.policy(policy_kind(config))
    models.reward(reward)


def check_room(config: RunConfig, folder: Path) -> None:
    """Refuse a run that cannot have room on this machine, by what is counted from shapes alone.

    Raises:
        ResourceError: Says what has no room.
    """
    from cluster.planning.machine import here_for
    from cluster.planning.models import MetaModels
    from cluster.planning.plan import make_plan

    models = MetaModels(model_shape(config), follows_passes=False)
    found = make_plan(config, models, here_for(config, folder)).problems
    for problem in found:
        if problem.is_certain:
            raise ResourceError(f"{problem.text}: `andon plan CONFIG.toml` says what to change")


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


def _check_reward(config: RunConfig) -> None:
    """Raise UserError where the reward that is given is none, or none for the policy."""
    if config.run.reward is None:
        return
    # Imported where there is one: torch takes seconds.
    from cluster.starting.given_reward import check_given, find_bundle

    bundle = find_bundle(config.run.reward)
    if config.policy is not None:
        pays_marks = config.ppo.mark_coefficient > 0
        check_given(
            bundle, policy_folder(config.policy.path, config.policy.revision), pays_marks=pays_marks
        )


def _check_critic(config: RunConfig) -> None:
    """Raise UserError where the critic is to start from a reward bundle and cannot."""
    if config.ppo.critic_path is None:
        return
    # Imported where there is one: torch takes seconds.
    from cluster.starting.given_reward import check_critic

    policy = (
        None if config.policy is None else policy_folder(config.policy.path, config.policy.revision)
    )
    check_critic(Path(config.ppo.critic_path), policy)


def _check_outside(labels: LabelsConfig) -> None:
    """Raise UserError where outside tools, or those who vouch for people, cannot be asked."""
    check_tools(labels.connectors)
    if labels.intake.oidc is not None:
        read_client_secret(labels.intake.oidc)


def _check_label_side(config: RunConfig) -> None:
    """Raise UserError where outside tools, files for labelers or the gold score will not do."""
    refuse_shared_places(config.labels.connectors)
    check_label_files(config.labels)
    if config.gold is not None:
        gold_of(config.gold)


def check_label_files(labels: LabelsConfig) -> None:
    """Raise MissingError or InputError where guidelines or gold cannot be read; names the key."""
    read_guidelines(labels.guidelines)
    if labels.quality.gold.path is not None:
        read_gold(labels.quality.gold.path, labels.num_candidates)


def _check_ledger(folder: RunFolder, labels: LabelsConfig) -> None:
    """Open the ledger of an import, if there is one, as the label queue will.

    Raises InputError where it is another run's or none, ResourceError where it is in use or its
    server cannot be reached.
    """
    place = labels.ledger_place(folder.ledger)
    # A folder that holds a run is refused as that.
    if is_there(place, "name another folder with --folder") and not folder.state.exists():
        SqlLedger.open(place, folder.run_id).close()
