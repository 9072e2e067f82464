"""How a policy version is written that holds only what adapters add to the weights of ρ.

For a weight W [N, K] named NAME in the model's folder there are two tensors; one number is for all:

    NAME@left     [N, r]
    NAME@right    [r, K]
    @scaling      a scalar; the weight is W + scaling · left @ right

What has none of these is as the folder has it.
"""

from __future__ import annotations

from collections.abc import Collection

LEFT = "@left"
RIGHT = "@right"
SCALING = "@scaling"


def is_low_rank(names: Collection[str]) -> bool:
    """Return whether tensors of these names are a version that is written so."""
    return SCALING in names
