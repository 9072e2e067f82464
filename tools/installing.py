"""How what Andon needs is installed: by commands whose output goes to a log, and by uv.

On a bare Python with the standard library alone, as `setup.py`.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
UV = VENV / "bin" / "uv"
LOG = VENV / "setup.log"
CONSTRAINTS = ROOT / "constraints.txt"

LOG_LINES_SHOWN = 15
NOT_IN_INDEX = ("No matching distribution found", "no version of", "not found in the package")
"""How pip, and uv, say that no index has what is wanted."""


class SetupError(Exception):
    """One sentence that says what is missing and how to get it."""


class NotInIndex(SetupError):
    """pip's index does not have what is wanted."""


def say(line: str) -> None:
    """Tell the user what is being done."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def run_quietly(command: list[str], environment: Mapping[str, str] | None = None) -> bool:
    """Run a command without output and return whether it succeeded."""
    nothing = subprocess.DEVNULL
    done = subprocess.run(command, stdin=nothing, stdout=nothing, stderr=nothing, env=environment)
    return done.returncode == 0


def logged(
    command: Sequence[str], environment: Mapping[str, str] | None = None
) -> tuple[bool, list[str]]:
    """Run a command, its output appended to the log; return whether it succeeded, and its lines."""
    with LOG.open("a") as log:
        log.write(f"$ {' '.join(command)}\n")
        log.flush()
        begins = log.tell()
        done = subprocess.run(
            command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment
        )
    lines = LOG.read_bytes()[begins:].decode(errors="replace").splitlines()
    return done.returncode == 0, lines


def run_logged(
    command: Sequence[str], sentence: str, environment: Mapping[str, str] | None = None
) -> None:
    """Run an installer in the venv, its output appended to the log.

    Raises:
        NotInIndex: No index has what is wanted.
        SetupError: It failed otherwise; the last lines of the log are shown. `sentence` says what
            it was to do.
    """
    has_succeeded, lines = logged(command, environment)
    if has_succeeded:
        return
    for line in lines:
        if any(words in line for words in NOT_IN_INDEX):
            raise NotInIndex(f"{sentence}: {line.strip()} (the whole of its output is in {LOG}).")
    say("\n".join(lines[-LOG_LINES_SHOWN:]))
    raise SetupError(f"{sentence} (the whole of its output is in {LOG}).")


def pip_configuration() -> dict[str, list[str]]:
    """Return what pip is configured to, by option, e.g. {"index-url": ["https://…"]}.

    An option of the environment goes before one for `pip install`, and that before a general one.
    """
    command = [str(PYTHON), "-m", "pip", "config", "list"]
    listed = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    found = dict[str, list[str]]()
    for section in ("global.", "install.", ":env:."):
        for line in listed.stdout.splitlines():
            name, _, value = line.removeprefix(section).partition("=")
            if line.startswith(section):
                found[name] = str(ast.literal_eval(value)).split()
    return found


def uv_environment() -> dict[str, str]:
    """Return the variables that have uv look where pip would; those set for uv itself stay.

    Variables, for an address may hold a password, and the log shows the command.
    """
    configured = pip_configuration()
    variables = {
        "UV_INDEX_URL": " ".join(configured.get("index-url", ())),
        "UV_EXTRA_INDEX_URL": " ".join(configured.get("extra-index-url", ())),
        "UV_FIND_LINKS": ",".join(configured.get("find-links", ())),
        "UV_NO_INDEX": " ".join(configured.get("no-index", ())),
        "UV_INSECURE_HOST": " ".join(configured.get("trusted-host", ())),
        "SSL_CERT_FILE": " ".join(configured.get("cert", ())),
        "UV_INDEX_STRATEGY": "unsafe-best-match",  # as pip does: the best of all indexes
        "UV_SYSTEM_CERTS": "1",
        "UV_NO_PROGRESS": "1",
    }
    given = {name: value for name, value in variables.items() if value}
    return {**given, **os.environ}


def install_by_uv(wanted: Sequence[str], sentence: str) -> None:
    """Have uv install at the pinned versions; errors as `run_logged`."""
    run_logged(
        [str(UV), "pip", "install", "--python", str(PYTHON), *wanted], sentence, uv_environment()
    )


def constraints() -> list[str]:
    """Return the options that name our pins, and whatever else pip is constrained by."""
    others = pip_configuration().get("constraint", ())
    return [part for file in (CONSTRAINTS, *others) for part in ("--constraint", str(file))]
