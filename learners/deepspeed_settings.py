"""DeepSpeed set up for the hardware, and by our config; the only module that imports it."""

from __future__ import annotations

import logging
import os
import sys
from typing import Any

import torch

from learners.config import DeepSpeedConfig
from learners.op_builds import built_alone

_SHARED_MEMORY_REDUCE = "deepspeed_shm_comm"
"""DeepSpeed's name of an op that it has on CPU."""


def import_deepspeed() -> Any:
    """Import DeepSpeed for the hardware at hand, with its log reduced to errors."""
    if not torch.cuda.is_available():
        os.environ["DS_ACCELERATOR"] = "cpu"
    # DeepSpeed takes its device from LOCAL_RANK; Ray shows each process its own GPU alone.
    os.environ.setdefault("LOCAL_RANK", "0")
    import deepspeed  # here, for it reads the environment
    from deepspeed.ops.op_builder.builder import OpBuilder

    OpBuilder.jit_load = built_alone(OpBuilder.jit_load)
    # Serves inference alone, and would be compiled for a minute of two cores when ranks meet.
    deepspeed.ops.__compatible_ops__[_SHARED_MEMORY_REDUCE] = False
    logging.getLogger("DeepSpeed").setLevel(logging.ERROR)
    return deepspeed


def end_groups() -> None:
    """End torch's process groups, and forget DeepSpeed's copies, which a next engine would take."""
    comm = sys.modules.get("deepspeed.comm")
    if comm is not None and comm.is_initialized():
        comm.destroy_process_group()
    else:
        torch.distributed.destroy_process_group()


def ended(engine: Any) -> None:
    """End one of DeepSpeed's engines, so that nothing of its module stays.

    DeepSpeed itself keeps each module that ZeRO-3 has taken apart, in a stack that begins with it.
    """
    from deepspeed.runtime.zero.parameter_offload import FWD_MODULE_STACK

    module = engine.module
    engine.destroy()
    FWD_MODULE_STACK[:] = [each for each in FWD_MODULE_STACK if each is not module]


def zero_stage(config: DeepSpeedConfig) -> int:
    """Return the stage that DeepSpeed is told.

    Its bfloat16 at stage 0 has no float32 gradients, and starts Adam's count of steps at 1, so that
    the first steps are a quarter too short.
    """
    return max(config.zero_stage, 1) if config.dtype == "bfloat16" else config.zero_stage


def settings(config: DeepSpeedConfig) -> dict[str, Any]:
    """Return DeepSpeed's own config."""
    zero: dict[str, Any] = {"stage": zero_stage(config)}
    if config.offload_optimizer:
        zero["offload_optimizer"] = {"device": "cpu", "pin_memory": True}
    plain = zero_stage(config) == 0
    adam: dict[str, Any] = {
        "lr": 0.0,  # `step` brings its own
        "betas": list(config.adam_betas),
        "eps": config.adam_eps,
        "weight_decay": config.weight_decay,
        "torch_adam": config.optimizer == "torch_adam",
    }
    if config.optimizer == "torch_adam":
        adam["fused"] = True  # one pass over the weights, where PyTorch's loop makes a dozen
    return {
        **_settings_of_all(config, zero),
        "gradient_accumulation_steps": 1,  # boundaries are set by hand in `backward`
        "gradient_clipping": 0.0 if plain else config.max_grad_norm,
        # Left to itself, it adds the gradients of passes up in the type of the weights: of 512
        # equal ones, a quarter is lost in bfloat16.
        "data_types": {"grad_accum_dtype": "fp32"},
        "optimizer": {
            "type": "AdamW",
            "params": adam,
        },
        "zero_force_ds_cpu_optimizer": False,
    }


def frozen_settings(config: DeepSpeedConfig) -> dict[str, Any]:
    """Return DeepSpeed's own config for a model that is spread as the engine's, and not trained."""
    return _settings_of_all(config, {"stage": zero_stage(config)})


def _settings_of_all(config: DeepSpeedConfig, zero: dict[str, Any]) -> dict[str, Any]:
    return {
        "train_micro_batch_size_per_gpu": config.micro_batch_size,
        "zero_optimization": zero,
        "bf16": {"enabled": config.dtype == "bfloat16"},
        "steps_per_print": 2**31,
    }
