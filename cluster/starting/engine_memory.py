"""What an engine is told of a device that it shares, before anything else of it is known."""

from __future__ import annotations

from cluster.config import RunConfig
from cluster.starting.policy_source import model_shape


def beside_cache_bytes(config: RunConfig) -> int | None:
    """Return what an engine takes of its device beside its KV cache, by the plan. Takes seconds.

    vLLM would measure it at its start as what is gone of the device since, and so take for its own
    what learner, reward trainer and replicas load meanwhile.

    Returns:
        None where the size of the cache is given, or each engine has whole devices or none.
    """
    if config.rollouts.kv_cache_gib or not 0 < config.cluster.gpus_per_actor < 1:
        return None
    # Imported where it is asked for: torch and transformers take seconds.
    from cluster.planning.models import MetaModels
    from cluster.planning.serving import beside_cache, longest_read

    models = MetaModels(model_shape(config))
    return sum(beside_cache(config, models, longest_read(config, models)).values())
