"""What a run writes to its standard streams, when nobody can be given it any more."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from cluster.commands.exit_codes import EXIT_USER_ERROR
from cluster.outlived_streams import outlived_streams

HEAD = """
import sys
from rich.console import Console
from cluster.outlived_streams import outlived_streams
from cluster.watching.display import RunDisplay
from protocol.logs import logger_of
"""
RUN = (
    HEAD
    + """
with outlived_streams():
    with RunDisplay(Console(), "runs/demo-1", clock=iter(range(0, 9000, 60)).__next__) as display:
        for number in range(100):
            display.show({"phase": "training ρ", "elapsed_s": number})
            logger_of("run").warning("alarm", number=number)
            sys.stderr.write("aside\\n")
    with open(sys.argv[1], "w") as file:
        file.write("came to its end")
print("after it")
"""
)
DONE = "came to its end"


def run_python(
    script: str, *arguments: str, stdout: int, **environment: str
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-c", script, *arguments],
        stdout=stdout,
        stderr=subprocess.STDOUT,
        env=os.environ | environment,
        check=False,
    )


def test_a_run_outlives_whoever_reads_it(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        ended = run_python(RUN, str(tmp_path / "end"), stdout=writing)
    finally:
        os.close(writing)
    assert (ended.returncode, (tmp_path / "end").read_text()) == (0, DONE)


def test_a_run_outlives_its_terminal(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    os.close(ours)
    try:
        ended = run_python(RUN, str(tmp_path / "end"), stdout=theirs, TERM="xterm")
    finally:
        os.close(theirs)
    assert (ended.returncode, (tmp_path / "end").read_text()) == (0, DONE)


def test_a_run_outlives_a_full_disk_under_what_it_shows(tmp_path: Path) -> None:
    limited = (
        "import resource, signal\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200))\n"
    )
    shown = tmp_path / "shown"
    with shown.open("wb") as file:
        ended = run_python(limited + RUN, str(tmp_path / "end"), stdout=file.fileno())
    assert (tmp_path / "end").read_text() == DONE
    assert shown.stat().st_size == 200
    assert ended.returncode != 0, "what comes after the run is told of the disk"


def test_what_a_full_pipe_does_not_take_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with os.fdopen(writing, "w") as pipe, os.fdopen(reading, "rb"):
        monkeypatch.setattr(sys, "stdout", pipe)
        with outlived_streams():
            for _ in range(200):
                sys.stdout.write("x" * 10_000 + "\n")
        assert sys.stdout is pipe


def test_a_process_without_standard_streams_has_some(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    with outlived_streams():
        assert sys.stdout.write("nobody hears it\n") > 0
    assert sys.stdout is None


def test_whoever_logs_outlives_whoever_reads_it() -> None:
    script = 'from protocol.logs import logger_of; logger_of("intake").warning("refused")\n'
    reading, writing = os.pipe()
    os.close(reading)
    ended = subprocess.run(
        [sys.executable, "-c", f"{script}import os; os._exit(7)"],
        stdout=writing,
        capture_output=False,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(writing)
    assert (ended.returncode, ended.stderr) == (7, b"")


def test_other_encodings_show_escapes(tmp_path: Path) -> None:
    shown = tmp_path / "shown"
    with shown.open("wb") as file:
        ended = run_python(
            RUN, str(tmp_path / "end"), stdout=file.fileno(), PYTHONIOENCODING="latin-1"
        )
    assert ended.returncode == 0
    assert b"training \\u03c1" in shown.read_bytes()


@pytest.mark.parametrize(("encoding", "rule"), [("latin-1", b"-----"), ("utf-8", "─────".encode())])
def test_every_command_shows_what_its_terminal_can(encoding: str, rule: bytes) -> None:
    plan = ["plan", "cluster/demo.toml", "--host-gib", "64"]
    shown = subprocess.run(
        [sys.executable, "-m", "cluster.cli", *plan],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        env=os.environ | {"PYTHONIOENCODING": encoding},
        check=False,
    )
    assert (shown.returncode, shown.stderr) == (0, b"")
    assert rule in shown.stdout


@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_command_ends_with_its_code_where_nobody_hears_why(*, is_terminal: bool) -> None:
    reading, writing = pty.openpty() if is_terminal else os.pipe()
    os.close(reading)
    try:
        ended = subprocess.run(
            [sys.executable, "-m", "cluster.cli", "status", "nowhere"],
            cwd=Path(__file__).parents[3],
            stdout=writing,
            stderr=writing,
            check=False,
        )
    finally:
        os.close(writing)
    assert ended.returncode == EXIT_USER_ERROR


@pytest.mark.parametrize(
    "begins",
    [
        "run.prepare_environment = show\n"
        "run.run_to_end(load_config(Path('cluster/demo.toml')), None)",
        "run.RunFolder.existing = show\nrun.resume_to_end(Path('runs/demo-1'), (), None)",
    ],
    ids=["run", "resume"],
)
def test_runs_begin_and_go_on_with_nobody_to_read_them(begins: str) -> None:
    script = (
        "from pathlib import Path\n"
        "from cluster import run\n"
        "from cluster.config_file import load_config\n"
        "def show(_):\n"
        "    print('words', flush=True)\n"
        "    raise SystemExit(9)\n"
        f"{begins}\n"
    )
    reading, writing = os.pipe()
    os.close(reading)
    try:
        ended = run_python(script, stdout=writing)
    finally:
        os.close(writing)
    assert ended.returncode == 9
