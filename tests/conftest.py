"""What every test tier shares: one thread a process, and nothing that reaches out."""

from __future__ import annotations

import os

from hypothesis import settings

from cluster.starting.environment import SHARED_MACHINE

# Before torch or any engine process reads them.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("DS_ACCELERATOR", "cpu")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
for name, value in SHARED_MACHINE.items():
    os.environ.setdefault(name, value)  # the sessions that tests start bear a busy machine as well

# How long an example takes says how busy the machine is, and nothing about what is tested.
settings.register_profile("andon", deadline=None)
settings.load_profile("andon")
