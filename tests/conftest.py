"""What every test tier shares: one thread a process, and nothing that reaches out."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest
from hypothesis import settings

from cluster.starting.environment import LOOPBACK_ONLY, RAY_DEFAULTS, SHARED_MACHINE

# Before torch or any engine process reads them.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("DS_ACCELERATOR", "cpu")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
for name, value in SHARED_MACHINE.items():
    os.environ.setdefault(name, value)  # the sessions that tests start bear a busy machine as well

# Whoever starts the tests in the background, or under `nohup`, has these ignored, and so would all
# that is started here: what is handled begins anew in another program.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, lambda *_: None)

# How long an example takes says how busy the machine is, and nothing about what is tested.
settings.register_profile("andon", deadline=None)
settings.load_profile("andon")


WHOLE_RUNS = frozenset(
    (
        "test_alone",
        "test_demo",
        "test_odd_surroundings",
        "test_replay",
        "test_take_back",
        "test_two_nodes",
    )
)
"""Modules of the integration tier that start whole runs, besides those named test_run_…; the others
start single parts. So do all tests of faults."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tell pytest-xdist what may go side by side: never two whole runs, nor a module's tests."""
    for item in items:
        tier, module = item.path.parent.name, item.path.stem
        is_run = tier == "faults" or module.startswith("test_run_") or module in WHOLE_RUNS
        group = "whole runs" if is_run else "parts" if tier == "integration" else f"{tier}/{module}"
        item.add_marker(pytest.mark.xdist_group(group))


LEFT_TO_RUNS = (*RAY_DEFAULTS, *LOOPBACK_ONLY, "LOCAL_RANK")
"""Variables that a run sets for its own processes, for good."""


@pytest.fixture(autouse=True)
def _a_run_s_variables_stay() -> Iterator[None]:
    """Let no test leave one behind: a later Ray would not fit itself, a trainer look for ranks."""
    before = {name: os.environ.get(name) for name in LEFT_TO_RUNS}
    yield
    assert {name: os.environ.get(name) for name in LEFT_TO_RUNS} == before
