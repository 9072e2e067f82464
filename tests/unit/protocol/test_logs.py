"""What a process writes to its log, as a file takes it and as a terminal shows it."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys

SCRIPT = """
import sys
from protocol.logs import logger_of

log = logger_of("intake", rank=3)
log.warning("label refused", status=422)
token = "a secret of the caller"
try:
    {}["missing"]
except KeyError:
    log.exception("intake failed")
sys.stderr.write("nothing but why it failed goes here")
"""
EMBEDDED = """
import structlog
structlog.configure(processors=[structlog.processors.KeyValueRenderer(sort_keys=True)])
from protocol.logs import logger_of
logger_of("intake").warning("label refused")
"""


def run_python(script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )


def test_a_file_gets_a_json_object_a_line() -> None:
    ended = run_python(SCRIPT)
    refused, failed = map(json.loads, ended.stdout.splitlines())
    assert refused.pop("timestamp").endswith("Z")
    assert refused == {
        "event": "label refused",
        "component": "intake",
        "rank": 3,
        "level": "warning",
        "status": 422,
    }
    (trace,) = failed["exception"]
    assert (trace["exc_type"], trace["exc_value"]) == ("KeyError", "'missing'")
    assert trace["frames"][-1]["lineno"] == 9
    assert ended.stderr == "nothing but why it failed goes here"


def test_a_traceback_shows_no_local_variable() -> None:
    assert "a secret of the caller" not in run_python(SCRIPT).stdout
    assert "a secret of the caller" not in said_in_a_terminal(SCRIPT)


def test_a_terminal_shows_a_line_that_reads() -> None:
    said = said_in_a_terminal(SCRIPT)
    assert "label refused" in said
    assert "{" not in said.splitlines()[0]
    assert "Traceback (most recent call last)" in said


def test_who_has_set_structlog_up_keeps_that() -> None:
    ended = run_python(EMBEDDED)
    assert ended.stdout == "component='intake' event='label refused'\n"


def said_in_a_terminal(script: str) -> str:
    """Return what a script writes to a standard output that is a terminal."""
    ours, theirs = pty.openpty()
    environment = os.environ | {"NO_COLOR": "1"}
    try:
        subprocess.run(
            [sys.executable, "-c", script],
            stdout=theirs,
            stderr=subprocess.DEVNULL,
            env=environment,
            check=True,
        )
        return os.read(ours, 1 << 16).decode()
    finally:
        os.close(theirs)
        os.close(ours)
