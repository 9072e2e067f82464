"""What every test tier shares: one thread a process, and nothing that reaches out."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from cluster.starting.environment import LOOPBACK_ONLY, RAY_DEFAULTS, SHARED_MACHINE
from tests.support.ledger_stores import STORES, LedgerStore, make_store
from tests.support.needed import needed
from tests.support.postgres_server import MISSING, PostgresServer, find_binaries, postgres_server
from tests.support.redis_server import MISSING as NO_REDIS
from tests.support.redis_server import RedisServer, find_redis, redis_server

# Before torch or any engine process reads them.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("DS_ACCELERATOR", "cpu")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_worker_niceness", "0")  # else Ray's processes wait for all other tests
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
        "test_books_task",
        "test_demo",
        "test_guard_in_a_run",
        "test_instructions_task",
        "test_lora_run",
        "test_parts_killed",
        "test_replay",
        "test_style_and_spans_task",
        "test_summaries_task",
        "test_take_back",
        "test_two_nodes",
    )
)
"""Modules of integration and faults that start whole runs, besides those named test_run_…; the
others start single parts at most."""


class SideBySide(LoadScopeScheduling):  # type: ignore[misc]
    """Lets tests go side by side, but never two whole runs, nor two tests of a module."""

    def _split_scope(self, nodeid: str) -> str:
        """Return which tests a test must not run beside: those of the same name here."""
        path = Path(nodeid.partition("::")[0])
        tier, module = path.parts[1], path.stem
        is_of_runs = module.startswith("test_run_") or module in WHOLE_RUNS
        if is_of_runs and tier in ("faults", "integration"):
            return "whole runs"
        return "parts" if tier == "integration" else str(path)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> SideBySide:
    """Have pytest-xdist share the tests out so. Its own groups do nothing with pytest 9.2."""
    return SideBySide(config, log)


class ToldAtOnce:
    """Tells what failed when it fails: who breaks the tests off gets no summary."""

    def __init__(self, terminal: pytest.TerminalReporter) -> None:
        self._terminal = terminal

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Write the test's name and the first line of why."""
        if report.failed:
            why = [line for line in report.longreprtext.splitlines() if line.startswith("E ")]
            self._terminal.write_line(f"\n{report.nodeid} ({report.when}): {''.join(why[:1])}")


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Have the process that writes to the terminal tell of failures at once."""
    terminal = config.pluginmanager.get_plugin("terminalreporter")
    if terminal is not None:
        config.pluginmanager.register(ToldAtOnce(terminal))


LEFT_TO_RUNS = (*RAY_DEFAULTS, *LOOPBACK_ONLY, "LOCAL_RANK")
"""Variables that a run sets for its own processes, for good."""


@pytest.fixture(autouse=True)
def _a_run_s_variables_stay() -> Iterator[None]:
    """Let no test leave one behind: a later Ray would not fit itself, a trainer look for ranks."""
    before = {name: os.environ.get(name) for name in LEFT_TO_RUNS}
    yield
    assert {name: os.environ.get(name) for name in LEFT_TO_RUNS} == before


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server of the tests' own, one for all that ask for it."""
    with postgres_server(needed(find_binaries(), "ANDON_REQUIRE_POSTGRES", MISSING)) as server:
        yield server


@pytest.fixture(scope="session")
def redis() -> Iterator[RedisServer]:
    """A Redis server of the tests' own, one for all that ask for it."""
    with redis_server(needed(find_redis(), "ANDON_REQUIRE_REDIS", NO_REDIS)) as server:
        yield server


@pytest.fixture(params=STORES)
def ledger_store(request: pytest.FixtureRequest, tmp_path: Path) -> LedgerStore:
    """An empty place for a ledger, on each of the databases it may lie in."""
    return make_store(request.param, tmp_path, lambda: request.getfixturevalue("postgres"))
