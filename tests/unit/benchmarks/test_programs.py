"""What a benchmark starts ends with it, whichever way it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from benchmarks.programs import run_program, started

Begin = Callable[[str, int], tuple[subprocess.Popen[str], list[psutil.Process]]]

ROOT = Path(__file__).parents[3]
PATIENCE_S = 60.0
DEMO = "from benchmarks.demo_runs import run_demo; run_demo('online', 1)"
CASES = """
from benchmarks.label_efficiency.cases import Case, run_all
run_all([Case(task="t", arm="offline-uniform-k4", budget=64, seed=1)], 2)
"""
THREADS = """
from concurrent.futures import ThreadPoolExecutor
from benchmarks.programs import heard, run_program
with heard(), ThreadPoolExecutor(2) as pool:
    list(pool.map(run_program, [[sys.executable]] * 5))
"""
STRUCK_ELSEWHERE = f"""
import signal, threading
def strike():
    sys.stdin.readline()
    signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
threading.Thread(target=strike, daemon=True).start()
{THREADS}"""
"""Another thread than the main one is where the signal comes, which goes on waiting."""


@pytest.fixture
def sleeper(tmp_path: Path) -> Path:
    """A program that starts another, tells of both by their ids, and sleeps."""
    path = tmp_path / "sleeper"
    path.write_text('#!/bin/sh\nsleep 3600 &\necho "$$ $!"\nwait\n')
    path.chmod(0o755)
    return path


@pytest.fixture
def begun() -> Iterator[list[subprocess.Popen[str]]]:
    """Benchmarks that a test begins, which are ended after it."""
    all_of_them: list[subprocess.Popen[str]] = []
    yield all_of_them
    for each in all_of_them:
        with each:  # closes its output, and waits
            each.kill()


@pytest.fixture
def begin(tmp_path: Path, sleeper: Path, begun: list[subprocess.Popen[str]]) -> Begin:
    """Begins a benchmark with so many sleepers in the place of programs; returns all processes."""

    def begin_(code: str, num_sleepers: int) -> tuple[subprocess.Popen[str], list[psutil.Process]]:
        python = f"import sys; sys.executable = {str(sleeper)!r}\n{code}"
        benchmark = subprocess.Popen(
            [sys.executable, "-c", python],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        begun.append(benchmark)
        assert benchmark.stdout is not None
        lines = [benchmark.stdout.readline() for _ in range(num_sleepers)]
        sleepers = [psutil.Process(int(pid)) for line in lines for pid in line.split()]
        assert len(sleepers) == 2 * num_sleepers
        return benchmark, sleepers

    return begin_


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda each: each.name)
@pytest.mark.parametrize(
    ("code", "num_sleepers"), [(DEMO, 1), (CASES, 1), (THREADS, 2)], ids=["demo", "cases", "pool"]
)
def test_a_benchmark_that_is_told_to_end_leaves_nothing_running(
    begin: Begin, code: str, num_sleepers: int, number: signal.Signals
) -> None:
    benchmark, sleepers = begin(code, num_sleepers)
    benchmark.send_signal(number)
    assert benchmark.wait(PATIENCE_S) == 128 + number
    assert psutil.wait_procs(sleepers, PATIENCE_S)[1] == []


def test_a_signal_that_does_not_wake_the_main_thread_is_heard(begin: Begin) -> None:
    benchmark, sleepers = begin(STRUCK_ELSEWHERE, 2)
    assert benchmark.stdin is not None
    benchmark.stdin.write("\n")
    benchmark.stdin.flush()
    assert benchmark.wait(PATIENCE_S) == 128 + signal.SIGTERM
    assert psutil.wait_procs(sleepers, PATIENCE_S)[1] == []


def test_a_program_s_answer_is_given_and_its_failure_raised() -> None:
    echo = run_program(["cat"], content=b"text", stdout=subprocess.PIPE)
    assert echo.stdout == b"text"
    with pytest.raises(subprocess.CalledProcessError):
        run_program(["false"])


def test_what_was_started_ends_with_the_block_and_signals_are_as_before() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with started(["sleep", "3600"]) as process:
        assert signal.getsignal(signal.SIGTERM) != before
        assert process.poll() is None
    assert process.returncode == -signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) == before
