"""The processes that answer: rollout actors with their engines, reward replicas; and the others."""

from __future__ import annotations

from cluster.config import RunConfig
from cluster.planning.models import BYTES, MetaModels
from cluster.planning.needs import GIB, MIB, Kind, Process, more
from cluster.planning.trained import CONTEXT, PROCESS, WORKSPACES
from cluster.planning.transport import loading_copies, packed_bytes

ENGINE_PROCESSES = 1_500 * MIB
"""Memory of an actor and its engine's two processes without cache and weights; measured on CPU."""
GRAPHS = 512 * MIB
"""What an engine's captured graphs take of a device. [own]"""
BATCHED_TOKENS = 2_048
"""Tokens that an engine reads at once: vLLM's own default where it is not told what it is for."""
BLOCK_TOKENS = 16
"""Tokens of a block of the KV cache."""
LOGITS_COPIES = 3
"""Logits of a batch, their logarithms and their probabilities, all in float32."""
UNBOUNDED_TOKENS = 2_048
"""Tokens of the longest sequence where neither config nor model bounds it."""
SMALL_PROCESSES = {
    "driver": 400 * MIB,
    "label queue": 250 * MIB,
    "weigher of labelers": 200 * MIB,
    "intake": 200 * MIB,
    "metrics hub": 250 * MIB,
    "reward announcer": 100 * MIB,
    "reward's face": 150 * MIB,
    "Ray and Serve": 800 * MIB,
}
"""Memory of the parts that hold no model. [own: of the demo, and somewhat more]"""
SIMULATED_LABELER = 60 * MIB


def longest_read(run: RunConfig, models: MetaModels) -> int:
    """Return the tokens of the longest sequence that an engine takes."""
    return run.rollouts.max_model_len or models.context_tokens or UNBOUNDED_TOKENS


def rollout_actors(
    run: RunConfig, models: MetaModels, device_bytes: int, model_tokens: int
) -> list[Process]:
    """Return the rollout actors.

    Args:
        run: The config.
        models: Its models.
        device_bytes: Memory of a device: where the KV cache is left to vLLM it takes what
            `gpu_memory_utilization` leaves of it, which may be nothing.
        model_tokens: Of the longest sequence.
    """
    config, gpus = run.rollouts, run.cluster.gpus_per_actor
    in_turns = run.cluster.colocation == "turns"
    beside = beside_cache(run, models, model_tokens)
    cache = int(config.kv_cache_gib * GIB)
    if not cache and gpus:
        own = int(config.gpu_memory_utilization * device_bytes)
        cache = max(0, own - sum(beside.values()))
    waiting = beside["weights"] if in_turns else 0  # on the host, while an engine rests
    return [
        Process(
            name=f"rollout actor {index}",
            part="rollout actor",
            gpus=gpus,
            model=more(
                beside,
                kv_cache=cache,
                copies=adding_bytes(run, models) + packed_bytes(run, models),
            ),
            host=ENGINE_PROCESSES + loading_copies(run, models) + waiting,
            side="engines" if in_turns else None,
        )
        for index in range(config.num_actors)
    ]


def beside_cache(run: RunConfig, models: MetaModels, model_tokens: int) -> dict[Kind, int]:
    """Return what an engine takes of each of its devices beside its KV cache, all the time."""
    config = run.rollouts
    longest = min(model_tokens, BATCHED_TOKENS)
    read = models.reading(BATCHED_TOKENS // longest, longest, config.dtype)
    logits = 4 * LOGITS_COPIES * config.max_num_seqs * models.vocabulary
    library = CONTEXT + WORKSPACES + (0 if config.enforce_eager else GRAPHS)
    return {
        "weights": BYTES[config.dtype] * models.language_model.total // config.tensor_parallel_size,
        "activations": max(read, logits),
        "library": library if run.cluster.gpus_per_actor else 0,
    }


def adding_bytes(run: RunConfig, models: MetaModels) -> int:
    """Return what an engine takes beside its weights while it adds adapters to those of ρ.

    Of the largest layer there are weight, product and sum in float32, and in the engine's type the
    two that may make one layer of the engine's.
    """
    if run.policy_lora is None or not run.rollouts.adapters_travel:
        return 0
    largest = models.adapters(run.policy_lora).largest_adapted
    return (3 * 4 + 2 * BYTES[run.rollouts.dtype]) * largest


def sequence_bytes(run: RunConfig, models: MetaModels, model_tokens: int) -> int:
    """Return what the KV cache of one longest sequence takes of each of an engine's devices."""
    blocks = -(-model_tokens // BLOCK_TOKENS)
    per_token = models.kv_bytes_per_token(run.rollouts.dtype) // run.rollouts.tensor_parallel_size
    return blocks * BLOCK_TOKENS * per_token


def reward_replicas(run: RunConfig, models: MetaModels, model_tokens: int) -> list[Process]:
    """Return the replicas that score; while one swaps it has the old model and the new.

    What adapters leave as it is, both have in common.
    """
    config, gpus = run.reward_service, run.cluster.gpus_per_reward_replica
    weights = models.reward(run.reward_model)
    rows = max(1, min(config.max_batch_size, config.max_batch_tokens // model_tokens))
    return [
        Process(
            name=f"reward replica {index}",
            part="reward replica",
            gpus=gpus,
            model={
                "weights": BYTES[config.dtype] * weights.total,
                "activations": models.scoring(run.reward_model, rows, model_tokens, config.dtype),
                "copies": BYTES[config.dtype] * weights.trained,
                "library": CONTEXT + WORKSPACES if gpus else 0,
            },
            host=PROCESS + 4 * weights.total,  # as a version is loaded
        )
        for index in range(config.replicas)
    ]


def small_processes(run: RunConfig) -> list[Process]:
    """Return the processes that hold no model."""
    sizes = {**SMALL_PROCESSES, **{each.name: SIMULATED_LABELER for each in run.labelers}}
    return [Process(name=name, part=name, gpus=0, host=size) for name, size in sizes.items()]
