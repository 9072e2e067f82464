"""Make `.venv` and install Andon into it; do nothing when nothing changed.

Runs on a bare Python with the standard library alone (`make venv`). torch goes first: with none
there, other packages would pull a CUDA build of several gigabytes. The output of pip goes to
`.venv/setup.log`; whatever fails is said in one sentence. With `--browser` (`make test`) it also
sees to it that there is a Chromium, for the tests of the pages.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "setup.stamp"
LOG = VENV / "setup.log"
CONSTRAINTS = ROOT / "constraints.txt"

OLDEST_PYTHON = (3, 11)
NEEDED_BYTES = 8 * 10**9
LOG_LINES_SHOWN = 15
NOT_FOUND = "No matching distribution found"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
APT_INSTALL = ("install", "--yes", "--no-install-recommends", "chromium")
OPTIONAL_PACKAGES = ("torchvision", "torchaudio", "torchcodec")


class SetupError(Exception):
    """One sentence that says what is missing and how to get it."""


class NotInIndex(SetupError):
    """pip's index does not have what is wanted."""


def say(line: str) -> None:
    """Tell the user what is being done."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def check_machine() -> None:
    """Raise SetupError unless Python, the compiler and the disk will do."""
    if sys.version_info < OLDEST_PYTHON:
        raise SetupError(
            f"Andon needs Python 3.11 or newer and this is {sys.version.split()[0]}; install one "
            "and run `make PYTHON=python3.11 ...`."
        )
    if not any(shutil.which(name) for name in ("g++", "clang++", "c++")):
        raise SetupError(
            "No C++ compiler found (DeepSpeed builds its CPU optimizer with one); install g++, "
            "e.g. `apt-get install g++`."
        )
    free = shutil.disk_usage(str(ROOT)).free
    if free < NEEDED_BYTES:
        raise SetupError(
            f"Only {free / 1e9:.1f} GB of disk are free at {ROOT} and the installation needs "
            f"{NEEDED_BYTES / 1e9:.0f} GB; free some space."
        )


def has_cuda() -> bool:
    """Return whether the NVIDIA driver answers on this machine."""
    driver = shutil.which("nvidia-smi")
    return driver is not None and run_quietly([driver, "--list-gpus"])


def run_quietly(command: list[str]) -> bool:
    """Run a command without output and return whether it succeeded."""
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    return done.returncode == 0


def fingerprint(extra: str) -> str:
    """Return the digest of all that the content of `.venv` depends on."""
    digest = hashlib.sha256()
    for part in (ROOT / "pyproject.toml", CONSTRAINTS, Path(__file__)):
        digest.update(part.read_bytes())
    digest.update(f"{sys.version_info[:3]} {extra} {ROOT}".encode())
    return digest.hexdigest()


def is_current(stamp: str) -> bool:
    """Return whether `.venv` was completed for this very fingerprint."""
    return PYTHON.exists() and STAMP.exists() and STAMP.read_text() == stamp


def make_venv() -> None:
    """Create `.venv` with pip in it, reusing one of the same Python version."""
    probe = f"import sys; sys.exit(sys.version_info[:2] != {sys.version_info[:2]})"
    if PYTHON.exists() and run_quietly([str(PYTHON), "-c", probe]):
        return
    shutil.rmtree(VENV, ignore_errors=True)
    if not run_quietly([sys.executable, "-m", "venv", str(VENV)]):
        raise SetupError(
            "Python could not make a virtual environment; install its venv package, "
            "e.g. `apt-get install python3-venv`."
        )


def pip(arguments: list[str], sentence: str) -> None:
    """Run pip in the venv, its output appended to the log.

    Raises:
        NotInIndex: pip's index does not have what is wanted.
        SetupError: pip failed otherwise; the last lines of the log are shown. `sentence` says
            what pip was to do.
    """
    command = [str(PYTHON), "-m", "pip", *arguments]
    with LOG.open("a") as log:
        log.write(f"$ {' '.join(command)}\n")
        log.flush()
        done = subprocess.run(
            command, cwd=str(ROOT), stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    if done.returncode == 0:
        return
    lines = LOG.read_text(errors="replace").splitlines()[-LOG_LINES_SHOWN:]
    for line in lines:
        if NOT_FOUND in line:
            raise NotInIndex(f"{sentence}: {line} (the whole of pip's output is in {LOG}).")
    say("\n".join(lines))
    raise SetupError(f"{sentence} (the whole of pip's output is in {LOG}).")


def install_torch(extra: str) -> None:
    """Install torch: on Linux without CUDA the CPU build, unless the index has but one build."""
    pinned = next(
        line for line in CONSTRAINTS.read_text().splitlines() if line.startswith("torch==")
    )
    if extra == "cpu" and sys.platform == "linux":
        try:
            pip_torch(f"{pinned}+cpu")
            return
        except NotInIndex:
            say(f"pip's index has no {pinned}+cpu; its own build is taken.")
    pip_torch(pinned)


def pip_torch(build: str) -> None:
    """Install one build of torch."""
    say(f"Installing {build} ...")
    pip(
        ["install", "--constraint", str(CONSTRAINTS), build],
        f"pip could not install {build}; check the network, and that pip's configuration names "
        "an index that has this build",
    )


def install(extra: str) -> None:
    """Install torch, then Andon with its extras, everything at the pinned versions."""
    install_torch(extra)
    say(f"Installing Andon and its {extra} and dev requirements (a few minutes) ...")
    pip(
        ["install", "--constraint", str(CONSTRAINTS), "--editable", f".[{extra},dev]"],
        "pip could not install the requirements of Andon",
    )


def remove_broken_optionals() -> None:
    """Uninstall those of torch's companions that do not import.

    vLLM pulls them, Andon needs none of them, and a build for another torch breaks the import of
    transformers and vLLM.
    """
    broken = [
        name for name in OPTIONAL_PACKAGES if not run_quietly([str(PYTHON), "-c", f"import {name}"])
    ]
    if broken:
        say(f"Removing {', '.join(broken)} (not built for this torch) ...")
        pip(["uninstall", "--yes", *broken], f"pip could not uninstall {' '.join(broken)}")


def check_imports() -> None:
    """Raise SetupError unless the parts that are easiest to break can be imported."""
    modules = ("torch", "transformers", "ray", "vllm")
    for module in modules:
        if not run_quietly([str(PYTHON), "-c", f"import {module}"]):
            raise SetupError(
                f"{module} was installed but does not import; see `{PYTHON} -c 'import {module}'`."
            )


def set_up() -> None:
    """Bring `.venv` up to date."""
    extra = "gpu" if has_cuda() else "cpu"
    stamp = fingerprint(extra)
    if is_current(stamp):
        return
    check_machine()
    started = time.monotonic()
    say(f"Setting up {VENV} ({extra}); details in {LOG}")
    make_venv()
    STAMP.unlink(missing_ok=True)
    install(extra)
    remove_broken_optionals()
    check_imports()
    STAMP.write_text(stamp)
    say(f"Set up in {time.monotonic() - started:.0f} s.")


def find_browser() -> bool:
    """Return whether there is a Chromium on PATH."""
    return any(shutil.which(name) for name in BROWSERS)


def apt_get(*arguments: str) -> bool:
    """Run apt-get, its output appended to the log, and return whether it succeeded."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with LOG.open("a") as log:
        log.write(f"$ apt-get {' '.join(arguments)}\n")
        log.flush()
        done = subprocess.run(
            ["apt-get", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment,
        )
    return done.returncode == 0


def set_up_browser() -> None:
    """Install Chromium where it is missing and this user may; else say how to get it."""
    if find_browser():
        return
    if shutil.which("apt-get") is not None and os.geteuid() == 0:
        say("Installing Chromium for the tests of the pages (apt-get install chromium) ...")
        # The package list may be old or empty: it is fetched anew only if the first try fails.
        if apt_get(*APT_INSTALL) or (apt_get("update") and apt_get(*APT_INSTALL)):
            return
        say(f"apt-get could not install Chromium (its output is in {LOG}).")
    say(
        "There is no Chromium, so the tests of the pages will be skipped; install one, "
        "e.g. `apt-get install chromium`, or put a Chrome on PATH."
    )


def main(arguments: Sequence[str] = ()) -> int:
    """Run; return the exit status."""
    os.environ.setdefault("PIP_DISABLE_PIP_VERSION_CHECK", "1")
    try:
        set_up()
        if "--browser" in arguments:
            set_up_browser()
    except SetupError as failure:
        sys.stderr.write(f"set-up: {failure}\n")
        return 1
    except OSError as failure:
        sys.stderr.write(f"set-up: {failure}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
