"""Powers of Adam's β that depend on the step alone, where DeepSpeed keeps them outside any state.

The Adam that DeepSpeed compiles for the CPU multiplies β₁ᵗ and β₂ᵗ by β from one step to the next,
and raises β to the power anew where steps do not follow each other, as after a restore: from the
third step on the two may differ in the last bit. It keeps them where no state reaches them, and one
copy for all engines of a process unless the optimizer is offloaded.
"""

from __future__ import annotations

from typing import Any

import torch


def forget_powers(adam: Any, device: torch.device) -> None:
    """Have the next step raise β to its power anew, whatever steps came before. Cheap.

    A step 0 of nothing: whatever step comes next does not follow it, but for the first, of which
    product and power are the same.

    Args:
        adam: The optimizer inside DeepSpeed's wrapping, of any kind; others are left alone.
        device: Where it computes, unless it is offloaded.
    """
    group = adam.param_groups[0]
    rates = (group["lr"], *group["betas"], group["eps"])
    nothing = [torch.empty(0) for _ in range(4)]
    if hasattr(adam, "ds_opt_adam"):
        corrects, decay = group["bias_correction"], group["weight_decay"]
        adam.ds_opt_adam.adam_update(adam.opt_id, 0, *rates, decay, corrects, *nothing)
    elif hasattr(adam, "multi_tensor_adam") and device.type == "cpu":
        corrects, decay = int(group["bias_correction"]), group["weight_decay"]
        lists = [[each] for each in nothing]
        rest = (0, adam.adam_w_mode, corrects, decay)
        adam.multi_tensor_adam(0, torch.zeros(1, dtype=torch.int32), lists, *rates, *rest)
