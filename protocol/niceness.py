"""Who goes first on the cores of a machine: what each process adds to its niceness.

A run has more processes than a small machine has cores. What is waited for, and wants little, goes
before what takes all that is left: labels and rollouts at 0, as Ray's workers are left
(`cluster/starting/environment.py`), and then these, each found by measuring who waited for whom.
"""

from __future__ import annotations

import os

WEIGHING = 2
"""Finding reliabilities: labels come first, but a reward waits for this."""
LEARNING = 5
"""A learner on a CPU, unless its config says otherwise: it takes all that it is given."""
SNAPSHOT = 10
"""Writing the folds down: nobody waits for it."""


def stand_back(niceness: int) -> None:
    """Let others go first from now on; to be called once in a process."""
    os.nice(niceness)
