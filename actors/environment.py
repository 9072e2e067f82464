"""The environment variables an engine's processes start with."""

from __future__ import annotations

from collections.abc import MutableMapping

from actors.config import RolloutConfig


def set_engine_environment(environment: MutableMapping[str, str], config: RolloutConfig) -> None:
    """Set what must stand in the environment before torch or vLLM is imported."""
    environment.update(
        {
            "OMP_NUM_THREADS": str(config.torch_threads),
            "VLLM_CPU_OMP_THREADS_BIND": "nobind",  # actors share cores with learners
            "VLLM_LOGGING_LEVEL": "ERROR",
            "VLLM_NO_USAGE_STATS": "1",
            "HF_HUB_OFFLINE": "1",  # the model is a folder; nothing is to be fetched
            "TOKENIZERS_PARALLELISM": "false",
        }
    )
    environment.pop("VLLM_CPU_KVCACHE_SPACE", None)  # it would overrule kv_cache_gib
    if config.weight_transport == "ipc":
        # vLLM hands the handles on to its own engine core, a child of the actor, as pickles.
        environment["VLLM_ALLOW_INSECURE_SERIALIZATION"] = "1"
    if config.enforce_eager:
        # vLLM's sampler compiles one small function all the same: 15 s of a C++ compiler.
        environment["TORCHDYNAMO_DISABLE"] = "1"
